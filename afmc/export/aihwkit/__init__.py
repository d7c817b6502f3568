"""A mapping as a configuration of AIHWKIT."""
