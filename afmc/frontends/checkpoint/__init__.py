"""Folders of weights, read without running anything that they bring."""
