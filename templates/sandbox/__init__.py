"""Where chat templates run: equal to transformers, and traced. The bounds are the base's."""
