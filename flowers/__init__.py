"""flowers: teach a neural network to tell flowers apart, and watch it learn."""

__version__ = "0.1.0"
