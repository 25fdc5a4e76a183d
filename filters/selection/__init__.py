"""A budget of rows, by score, order, diversity or tags."""
