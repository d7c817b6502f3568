"""Hardware-aware training of a small language model, as `examples/train_demo_afm.py` runs it."""
