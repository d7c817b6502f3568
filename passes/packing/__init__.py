"""Blocks into as few tiles as can be proven."""
