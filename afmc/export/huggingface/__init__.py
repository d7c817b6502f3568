"""A compiled model as a Hugging Face folder with its mapping."""
