"""What is written: the output folder, checkpoints, states to resume from, the chosen model."""
