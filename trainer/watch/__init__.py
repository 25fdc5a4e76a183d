"""While it runs: metrics, pace, evaluations, answers, curves, and the choice of an epoch."""
