"""Which text is trained, and why it may be: regions, stops, checks."""
