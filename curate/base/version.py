"""The version, where every package may read it."""

__version__ = "0.2.0"
