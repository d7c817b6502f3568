"""Tiles onto chips."""
