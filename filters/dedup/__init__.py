"""Duplicates: exact, near and by meaning."""
