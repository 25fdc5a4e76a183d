"""Turn raw instruction dumps into a small, proven SFT dataset."""

__version__ = "0.1.0"
