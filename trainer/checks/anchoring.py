"""Where training starts from and what draws it back there, found out before the first step."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.checkpoints import fisher, resume
from trainer.loss import LossMode
from trainer.models.anchor import Anchor, Part, parts_of, whole_fisher, with_fisher
from trainer.models.sharding import own, share_like
from trainer.objectives.fisher import UNITS, content_hash, information
from trainer.plan import Log, Plan

if TYPE_CHECKING:
    import torch

_NAMES = {"l2_sp": "L2-SP", "ewc": "EWC"}


def settled(plan: Plan, net: Any, mode: LossMode, log: Log) -> LossMode:
    """How the loss is computed, with the run's regulariser if it has one.

    A resumed run takes the Fisher information that was kept. Raises `CurateError` if that is of
    another run.
    """
    config = plan.config
    if config.regulariser == "none":
        return mode
    parts = parts_of(net)
    about = None
    if config.regulariser == "ewc":
        parts, about = _with_fisher(plan, net, parts, mode, log)
    anchor = Anchor(config.regulariser, config.regulariser_weight, parts, about)
    log(_line(anchor))
    return dataclasses.replace(mode, anchor=anchor)


def _with_fisher(
    plan: Plan, net: Any, parts: tuple[Part, ...], mode: LossMode, log: Log
) -> tuple[tuple[Part, ...], dict[str, Any]]:
    """The parts with the F of each, and what the manifest says of it."""
    config, measured = plan.config, plan.measured
    assert measured is not None, "ewc has a text"
    rows, chosen = measured
    wanted = {
        "kind": config.fisher,
        "units": UNITS,
        "sequences": len(chosen),
        "tokens": int(rows.target_counts[chosen].sum()),
        "text_sha256": resume.settings(plan)["fisher_text"],
        "weights": resume.weights_hash(net),
    }
    started = time.perf_counter()
    kept = fisher.kept(Path(config.out), wanted, parts) if config.resume else None
    if kept is None:
        drawn = config.seed if config.fisher == "sampled" else None
        values, scale = information(net, rows, chosen, parts, mode, drawn)
        how = f"{time.perf_counter() - started:.1f} s"
    else:
        values, scale = {part.name: _share(kept[0][part.name], part) for part in parts}, kept[1]
        how = "the one of the run that was stopped"
    parts = with_fisher(parts, values)
    hashed = mode.group.shared(content_hash(whole_fisher(parts, mode.group.first)))
    log(
        f"Fisher information, {config.fisher}: {wanted['sequences']:,} sequences "
        f"({wanted['tokens']:,} tokens) of {config.fisher_text or config.replay}, mean "
        f"{scale:.3g} {UNITS}, scaled to 1; {how}"
    )
    return parts, {**wanted, "scale": scale, "sha256": hashed}


def _share(full: torch.Tensor, part: Part) -> torch.Tensor:
    share: torch.Tensor = own(share_like(full, part.measured()))
    return share


def _line(anchor: Anchor) -> str:
    """What is penalised, and what is kept for that."""
    held = 0
    for part in anchor.parts:
        start = part.start if isinstance(part.start, tuple) else (part.start,)
        held += sum(4 * each.numel() for each in start if each is not None)
        held += 0 if part.fisher is None else 4 * part.fisher.numel()
    of = "weights" if anchor.about is None else "weights, each as it matters,"
    return (
        f"{_NAMES[anchor.kind]}: {anchor.strength:g} / 2 x the squared distance of "
        f"{len(anchor.parts)} tensors of {of} from where they started is added to the loss; "
        f"{held / 1e6:,.1f} MB in float32 for that"
    )
