"""What is learnt: one file an objective, each with the functions of `registry.Objective`."""
