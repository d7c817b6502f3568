"""Noisy crossbar tiles: devices, converters, a slow reference and the batched path."""
