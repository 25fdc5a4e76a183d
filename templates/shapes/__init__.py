"""What was learnt from one conversation and holds for all of its shape."""
