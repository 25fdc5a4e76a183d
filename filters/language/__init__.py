"""Which language a text is in, which others are mixed in, and the filter that allows some."""
