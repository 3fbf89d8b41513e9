"""Register a face once, from every angle, and recognize it anywhere."""

__version__ = "0.1.0"
