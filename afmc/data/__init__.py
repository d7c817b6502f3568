"""Texts and samples that models are calibrated and measured on."""
