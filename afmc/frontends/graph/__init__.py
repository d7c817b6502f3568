"""From an exported graph to its matrices, what reads what, and the work besides."""
