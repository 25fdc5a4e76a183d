"""Tokenizers, from a folder, the hub or the `tokenizers` library."""
