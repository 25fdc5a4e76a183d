"""The output folder: claimed before the run, written so that no half-written thing has a name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from curate.base.errors import CurateError
from curate.base.progress import quiet_transformers as quiet
from trainer.settings.config import TrainConfig

# The file that says a folder is ours; `--force` replaces no folder without it.
MARKER = "train.json"
WRITER = "curate train"
_PARTIAL = ".partial"


def check_place(out: str, force: bool, sources: Sequence[str], resume: bool = False) -> None:
    """Refuse an output folder that holds something else, or that holds what is read.

    With `resume` it may hold a run that was stopped.
    """
    place = Path(out).resolve()
    for source in sources:
        read = Path(source).resolve()
        if Path(source).exists() and (read == place or place in read.parents):
            raise CurateError(f"{out}: the output folder holds {source}, which this run reads")
    above = next(one for one in (place, *place.parents) if one.exists())
    if above == place and not place.is_dir():
        raise CurateError(f"{out}: is a file; name a folder for the tuned model")
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        raise CurateError(
            f"{out}: cannot be written, as {above} is no folder in which this user may make files; "
            "name another folder"
        )
    if not place.exists():
        return
    if not any(place.iterdir()):
        return
    if not _is_ours(place):
        raise CurateError(
            f"{out}: holds files that no training run wrote, so it is left alone; "
            "name another folder"
        )
    if _status(place) == "done":
        if resume:
            raise CurateError(f"{out}: this training run is done; there is nothing to resume")
        if not force:
            raise CurateError(
                f"{out}: holds an earlier training run; name another folder, or replace it with "
                "--force"
            )
    elif not force and not resume:
        raise CurateError(
            f"{out}: holds a training run that did not end; --resume goes on with it, --force "
            "replaces it"
        )


def _is_ours(place: Path) -> bool:
    return _status(place) is not None


def _status(place: Path) -> str | None:
    """How the run in this folder went; None if it holds none of ours."""
    marker = place / MARKER
    if not marker.is_file():
        return None
    try:
        content = json.loads(marker.read_bytes())
    except ValueError:
        return None
    ours = isinstance(content, dict) and content.get("writer") == WRITER
    return str(content.get("status")) if ours else None


# What a run needs to go on; all else in its folder is made again.
_NEEDED = (MARKER, "epochs", "state", "metrics.jsonl")


def start(out: str, resume: bool = False) -> Path:
    """The folder to write to, after `check_place` agreed: empty, or with what `resume` needs."""
    place = Path(out)
    if place.exists():
        for partial in [*place.glob(f"epochs/.*{_PARTIAL}"), *place.glob(f"state/.*{_PARTIAL}")]:
            shutil.rmtree(partial)
        for entry in sorted(place.iterdir()):
            if resume and entry.name in _NEEDED:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    (place / "epochs").mkdir(parents=True, exist_ok=True)
    return place


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """A folder that appears under its name only when everything in it is on the disk."""
    from safetensors import SafetensorError

    partial = final.with_name(f".{final.name}{_PARTIAL}")
    partial.mkdir()
    try:
        yield partial
        for entry in sorted(partial.rglob("*")):
            _sync(entry)
        _sync(partial)
        partial.rename(final)
        _sync(final.parent)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial)
        raise CurateError(
            f"{final}: could not be written ({error}); nothing of it was left behind, and what "
            "was finished before is intact; check the free space, the greatest size of "
            "a file (ulimit -f) and the folder's rights"
        ) from error
    except BaseException:
        shutil.rmtree(partial)
        raise


def write_whole(path: Path, text: str) -> None:
    """A file that is either the old one or the new one, never half of it."""
    partial = path.with_name(f".{path.name}{_PARTIAL}")
    try:
        partial.write_text(text, encoding="utf-8")
        _sync(partial)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    write_whole(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def epoch_folder(out: Path, epoch: int) -> Path:
    return out / "epochs" / f"epoch-{epoch}"


def save(model: Any, folder: Path, config: TrainConfig, rows: str, first: bool = True) -> None:
    """What the run's method trains, as one folder: a whole model, or adapters alone.

    `rows` is the hash of the manifest of the rows; it lies beside the weights. Where weights are
    shared every process must give its part, and only the `first` writes.
    """
    from trainer.models import adapt, sharding

    weights = sharding.state(model, config.learns == "weights", first)
    if not first:
        return
    with whole_folder(folder) as partial:
        adapt.save(model, partial, config, weights)
        origin = {"writer": WRITER, "method": config.method, "tokens_manifest_sha256": rows}
        write_json(partial / "origin.json", origin)


def save_weights(model: Any, folder: Path, weights: dict[str, Any] | None = None) -> None:
    with quiet():
        model.save_pretrained(folder, state_dict=weights)


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
    _sync(out)


def add_stops(folder: Path, stop_ids: Sequence[int]) -> None:
    """Let generation end at the trained stops as well as at those the base model had."""
    path = folder / "generation_config.json"
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    given = content.get("eos_token_id")
    known = [] if given is None else given if isinstance(given, list) else [given]
    content["eos_token_id"] = [*known, *(token for token in stop_ids if token not in known)]
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
