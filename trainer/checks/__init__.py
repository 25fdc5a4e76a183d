"""What is checked: rows, model and first step before training, weights after each epoch."""
