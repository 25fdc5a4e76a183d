"""Whether a curated set beats its baselines at equal trained tokens, with an interval."""
