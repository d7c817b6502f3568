"""Exact changes of a digital model's weights, found in its graph."""
