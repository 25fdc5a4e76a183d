"""The settings of a run: groups of fields, presets, methods, and what goes together."""
