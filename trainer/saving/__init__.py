"""What is written: checkpoints, states to resume from, the chosen model."""
