"""Phrases that steer a model (`filter`), their lists, and labels that came with the rows."""
