"""The races and measurements, each with the command that reproduces it in its docstring."""
