"""Exported programs and modules that are no language model."""
