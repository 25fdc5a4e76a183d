"""What is measured: metrics, pace, answers, curves, and the choice of an epoch."""
