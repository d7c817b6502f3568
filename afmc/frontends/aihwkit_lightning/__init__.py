"""Models that AIHWKIT-Lightning trained."""
