"""Tokenizers, and the ids and labels of proven texts."""
