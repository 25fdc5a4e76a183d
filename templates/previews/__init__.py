"""What a model will see: on a terminal, as a page, for machines, beside another."""
