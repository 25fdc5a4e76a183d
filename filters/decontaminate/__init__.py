"""Rows that repeat an evaluation set: shared word sequences, their index, and the report."""
