"""How matrices are cut into blocks."""
