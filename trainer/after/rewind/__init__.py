"""The path from a base to what was trained: walked, measured, and one place on it written."""
