"""What makes a model that was never trained for analog hardware work on it, without training."""
