"""How accurate a model is on noisy tiles, against itself in digital arithmetic."""
