"""What a run is told: fields and their limits, presets, methods, and what goes together."""
