"""What a proof lays down before its first training: what is compared, and what counts as shown.

`Design.as_dict` goes into the manifest before anything is trained, so that the metric, the families
of comparisons and the margin cannot be chosen by looking at results.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from curate.base.errors import CurateError

PRIMARY = "bits_per_byte"
LEVEL = 0.05  # bounds false claims of a family of comparisons
POWER = 0.8  # what "would have been seen" means
MIN_SEEDS = 2  # below it nothing is known of how much a seed alone moves a result


@dataclasses.dataclass(frozen=True)
class Design:
    """How verdicts are taken.

    `margin` is what still counts as no difference, as a share of the baseline's bits per byte.
    `draws` are of the bootstrap that stands beside (0: none), from `seed`.

    Raises CurateError for values that mean nothing.
    """

    margin: float = 0.01
    draws: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.margin < 1:
            raise CurateError(
                f"the margin of a proof is {self.margin!r}; expected a share above 0 and below 1"
            )
        if self.draws < 0:
            raise CurateError(f"the draws of a proof are {self.draws!r}; expected 0 or more")

    def as_dict(self) -> dict[str, Any]:
        """Plain values for a manifest: the settings, and what they are settings of."""
        return {
            "primary": PRIMARY,
            "comparison": "selected minus baseline, seeds paired by number, prompts paired",
            "overall": "plain mean over targets",
            "families": {
                "overall": "each baseline over all targets",
                "targets": "each baseline on each target",
            },
            "adjusted": "Holm (1979), within each family",
            "level": LEVEL,
            "power": POWER,
            **dataclasses.asdict(self),
        }
