"""Where templates of strangers run: bounded, equal to transformers, and traced."""
