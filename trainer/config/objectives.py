"""What can be learnt, by name, and which settings each objective of preferences reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

_Answers = Literal["sft", "distil", "reward"]
PreferenceName = Literal["dpo", "ipo", "hinge", "simpo", "cpo", "orpo", "kto"]
ObjectiveName = Literal[_Answers, PreferenceName]

# `beta` where neither the user nor a preset of the same objective sets it: for DPO, IPO and CPO
# TRL's, for the others their papers'.
BETAS: Mapping[PreferenceName, float] = {
    "dpo": 0.1,
    "ipo": 0.1,
    "hinge": 0.05,
    "simpo": 2.0,
    "cpo": 0.1,
    "orpo": 0.1,
    "kto": 0.1,
}
PREFERENCES: tuple[PreferenceName, ...] = tuple(BETAS)
# Objectives that compare the model with itself before training.
WITH_REFERENCE: tuple[PreferenceName, ...] = ("dpo", "ipo", "hinge", "kto")
# Which objectives read a setting that not all do.
READ_BY: Mapping[str, tuple[PreferenceName, ...]] = {
    "beta": PREFERENCES,
    "length_normalised": ("dpo", "hinge"),
    "label_smoothing": ("dpo",),
    "robust": ("dpo",),
    "sft_weight": ("dpo", "ipo", "hinge", "simpo", "cpo"),
    "length_desensitised": ("dpo", "hinge"),
    "length_regularised": ("dpo",),
    "simpo_gamma": ("simpo",),
    "undesirable": ("kto",),
    "desirable_weight": ("kto",),
    "undesirable_weight": ("kto",),
}
