"""From a model to an exported graph and the matrices in it.

Nothing is imported here, so that `afmc.frontends.find` stays free of torch.
"""
