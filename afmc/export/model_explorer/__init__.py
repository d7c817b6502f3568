"""A mapping as graphs for Model Explorer."""
