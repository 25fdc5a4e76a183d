"""Rules that a good row keeps: each file is a family of signs, `rules` lists them all."""
