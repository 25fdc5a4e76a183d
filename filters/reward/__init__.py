"""Scores of answers, from rules, a linear model, a reward model or the rows, and the filter."""
