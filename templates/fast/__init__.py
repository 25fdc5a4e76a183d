"""The same answers sooner: a plug for `templates.render`, switched off by `fast=False`."""
