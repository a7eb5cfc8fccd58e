"""The files that a model is read from."""
