"""Benchmarks of lm-evaluation-harness on noisy tiles, beside the digital model.

Source: Gao et al., The Language Model Evaluation Harness, https://zenodo.org/records/12608602.
"""
