"""The Fisher information of a run, kept in its folder: a resumed run takes it from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError
from trainer.checkpoints import checkpoint
from trainer.config.adapter_files import read_json
from trainer.loss import LossMode
from trainer.models.anchor import Part, whole_fisher
from trainer.objectives.fisher import content_hash

if TYPE_CHECKING:
    import torch

FOLDER = "regulariser"
_VALUES, _ABOUT = "fisher.safetensors", "fisher.json"


def keep(out: Path, mode: LossMode) -> None:
    """Write F and what it was made from, unless it is there; nothing where there is none.

    Where weights are shared every process must give its part, and only the first writes.
    """
    from safetensors.torch import save_file

    anchor, first = mode.anchor, mode.group.first
    if anchor is None or anchor.about is None or not mode.group.gives:
        return
    values = whole_fisher(anchor.parts, first)
    if first and not (out / FOLDER / _ABOUT).is_file():
        with checkpoint.whole_folder(out / FOLDER) as folder:
            save_file(values, folder / _VALUES)
            checkpoint.write_json(folder / _ABOUT, anchor.described())


def kept(
    out: Path, wanted: Mapping[str, Any], parts: Sequence[Part]
) -> tuple[dict[str, torch.Tensor], float] | None:
    """F of each part by name, whole, and its mean before it was scaled; None where none is kept.

    Raises `CurateError` if it is damaged, or was made from anything but what is `wanted`.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    place = out / FOLDER
    if not (place / _ABOUT).is_file():
        return None
    about = read_json(place / _ABOUT).get("fisher")
    advice = "move the folder away, or start anew with --force"
    if not isinstance(about, dict):
        raise CurateError(f"{place / _ABOUT}: says nothing of a Fisher information; {advice}")
    if others := [name for name, value in wanted.items() if about.get(name) != value]:
        name = others[0]
        raise CurateError(
            f"{place}: its Fisher information is another: {name} was {about.get(name)!r:.80}, now "
            f"{wanted[name]!r:.80}; {advice}"
        )
    try:
        values = load_file(place / _VALUES)
        scale = float(about["scale"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CurateError(f"{place}: cannot be read ({error}); {advice}") from error
    # The hash is of numbers alone.
    if not _fits(values, parts) or content_hash(values) != about.get("sha256"):
        raise CurateError(f"{place / _VALUES}: is not as it was written; {advice}")
    return values, scale


def _fits(values: Mapping[str, torch.Tensor], parts: Sequence[Part]) -> bool:
    """Whether there are float32 numbers for each part, of its shape, and no others."""
    import torch

    shapes = {part.name: tuple(part.measured().shape) for part in parts}
    found = {name: tuple(value.shape) for name, value in values.items()}
    return found == shapes and all(value.dtype == torch.float32 for value in values.values())
