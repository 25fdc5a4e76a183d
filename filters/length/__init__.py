"""Response length: units, tasks, statistics, and the actions that calibrate it."""
