"""Rows that say the same in other words, by their embeddings."""
