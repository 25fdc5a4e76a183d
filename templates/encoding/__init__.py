"""The ids and labels of verified texts."""
