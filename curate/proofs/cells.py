"""What one training gave: a baseline, a seed, and what its model does on each target.

A proof is a table of cells, one for each baseline and seed. Everything a verdict is taken from lies
in them, prompt by prompt, so that it can be taken again without a model.
"""

from __future__ import annotations

import dataclasses
from typing import Any

SELECTED = "selected"


@dataclasses.dataclass(frozen=True)
class TargetCell:
    """What a model does on the prompts of one target.

    All columns have one value for each prompt, in the order of `prompts`, which is the same in all
    cells of a proof. `nats` and `bytes` are of the held-out answer, without its stop, and
    `own_lengths` its tokens. `stopped`, `lengths` (tokens of the model's own answer), `loops`,
    `answers` and `leaked` (whether it holds the text of a control token or of a turn's opening) are
    of the first prompts alone, as many as were answered.
    """

    prompts: tuple[str, ...]
    nats: tuple[float, ...]
    bytes: tuple[int, ...]
    own_lengths: tuple[int, ...]
    stopped: tuple[bool, ...] = ()
    lengths: tuple[int, ...] = ()
    loops: tuple[bool, ...] = ()
    answers: tuple[str, ...] = ()
    leaked: tuple[bool, ...] = ()


@dataclasses.dataclass(frozen=True)
class Cell:
    """One training and what came of it.

    `tokens` are the trained tokens of its steps, `rows_sha256` names its rows. `instructions` hold
    for each prompt the share of its instructions that are kept, strictly and loosely; empty where
    none were asked for. `seconds` are of training and measuring, `final_loss` is of the last step,
    in nats a trained token.
    """

    baseline: str
    seed: int
    rows: int
    rows_sha256: str
    tokens: int
    steps: int
    epochs: float
    median_length: float
    final_loss: float
    seconds: float
    targets: dict[str, TargetCell]
    strict: tuple[float, ...] = ()
    loose: tuple[float, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dataclasses.asdict(self)


def cell_of(values: dict[str, Any]) -> Cell:
    """A cell as `Cell.as_dict` wrote it. Raises KeyError, TypeError or ValueError for another."""
    targets = {
        name: TargetCell(**{field: tuple(column) for field, column in target.items()})
        for name, target in values["targets"].items()
    }
    columns = {name: tuple(values[name]) for name in ("strict", "loose")}
    return Cell(**{**values, **columns, "targets": targets})
