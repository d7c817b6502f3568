"""Low-precision digital models, to hold analog ones against."""
