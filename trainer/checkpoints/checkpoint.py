"""Checkpoints: folders that are there whole or not at all, and how the chosen one is published."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curate.base.folder import atomic_subfolder, write_atomic
from trainer.checkpoints import companions
from trainer.checkpoints.place import WRITER
from trainer.models import adapt, sharding
from trainer.models.weights import failures_as_os_errors
from trainer.plan import Plan


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """A folder of weights that appears under its name only when everything in it is on the disk.

    Raises `CurateError` if it cannot be written; nothing of it is left then.
    """
    with atomic_subfolder(final) as partial, failures_as_os_errors():
        yield partial


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all."""
    write_atomic(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def epoch_folder(out: Path, epoch: int) -> Path:
    """Where the checkpoint of an epoch lies."""
    return out / "epochs" / f"epoch-{epoch}"


def save(model: Any, folder: Path, plan: Plan, first: bool = True) -> None:
    """What the run's method trains, as one folder: a whole model, or adapters alone.

    The tokenizer and the stops lie beside it, and so does the hash of the manifest of the rows.
    Where weights are shared every process must give its part, and only the `first` writes.
    """
    config = plan.config
    weights = sharding.state(model, config.learns == "weights", first)
    if not first:
        return
    with whole_folder(folder) as partial:
        adapt.save(model, partial, config, weights)
        companions.complete(partial, plan)
        rows = plan.tokens.manifest_hash
        origin = {"writer": WRITER, "method": config.method, "tokens_manifest_sha256": rows}
        write_json(partial / "origin.json", origin)


def prune(out: Path, written: Sequence[int], keep: int, best: int) -> list[int]:
    """Remove all but the newest `keep` epochs and the best one; the epochs that stay."""
    stays = sorted({best, *sorted(written)[-keep:]})
    for epoch in written:
        # A resumed run may have removed it before it was stopped.
        if epoch not in stays and epoch_folder(out, epoch).exists():
            shutil.rmtree(epoch_folder(out, epoch))
    return stays


def numbered(folder: Path, prefix: str) -> list[tuple[int, Path]]:
    """What lies in `folder` under `prefix` and a number alone, by that number.

    A copy under a name such as epoch-3-mine is the user's and none of it.
    """
    found = [(path.name.removeprefix(prefix), path) for path in folder.glob(f"{prefix}*")]
    return sorted((int(number), path) for number, path in found if number.isdecimal())


def last_good(out: Path) -> str:
    """Where the newest finished checkpoint is, in words."""
    finished = numbered(out / "epochs", "epoch-")
    if not finished:
        return "there is no checkpoint yet"
    return f"the last good checkpoint is {finished[-1][1]}"


def publish(source: Path, out: Path) -> None:
    """Move a finished folder's files to the top; its configuration last, as it makes it a model."""
    files = sorted(source.iterdir(), key=lambda file: (file.name == "config.json", file.name))
    for file in files:
        file.replace(out / file.name)
    source.rmdir()
