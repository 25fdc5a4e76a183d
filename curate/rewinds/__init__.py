"""What people see of a rewind: a table, a picture, a page."""
