"""Token rows: read, split, mixed, and laid out in batches."""
