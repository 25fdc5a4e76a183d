"""Near-duplicates: signatures, search, groups, and which member of a group is kept."""
