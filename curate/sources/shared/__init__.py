"""What several formats need to turn one raw row into conversations."""
