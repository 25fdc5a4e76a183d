"""What follows training: adapters merged into whole models, and models asked."""
