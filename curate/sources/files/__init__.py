"""Bytes taken apart into raw rows: every row with its line, and what is none."""
