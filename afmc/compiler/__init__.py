"""From a model and a target to a program."""
