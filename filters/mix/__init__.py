"""Shares of sources and categories in what is kept."""
