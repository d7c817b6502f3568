"""Models of transformers, from a folder or the hub."""
