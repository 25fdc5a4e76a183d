"""What each verb of the command line does, one module for each folder that they make.

Loaded when a verb is called; heavy imports live inside the verbs.
"""

from curate.verbs.cleaning import baselines, diff, explain, filters, inspect, report, run
from curate.verbs.exporting import export
from curate.verbs.judge import judge
from curate.verbs.pairs import pairs
from curate.verbs.rendering import preview, render, templates
from curate.verbs.reward import reward
from curate.verbs.training import train

__all__ = [
    "baselines",
    "diff",
    "explain",
    "export",
    "filters",
    "inspect",
    "judge",
    "pairs",
    "preview",
    "render",
    "report",
    "reward",
    "run",
    "templates",
    "train",
]
