"""Evaluation sets: questions to look for in a training set, and their answers."""
