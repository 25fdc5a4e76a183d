"""What `filters`, `templates` and `trainer` stand on; it imports nothing of ours from above."""
