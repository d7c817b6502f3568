"""The compiled model as something that runs: the module, or the exported graph, on tiles."""
