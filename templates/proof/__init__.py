"""Which text is trained, and why it may be: trained spans, stops, checks."""
