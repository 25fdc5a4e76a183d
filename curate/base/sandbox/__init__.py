"""Where Jinja templates of strangers run: on plain data, bounded in work, size and depth, apart."""
