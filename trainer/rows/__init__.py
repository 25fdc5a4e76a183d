"""Token rows: read, split, mixed, laid out in batches and packed."""
