"""The output folder: checked before the run, claimed for it, and emptied of what a run wrote.

`train.json` says that an earlier run wrote a folder, but it may come from a stranger. So only files
whose names training itself gives are ever removed, and nothing through a link.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from curate.base.errors import CurateError, some_of
from curate.base.folder import locked
from curate.base.places import check_place
from trainer.config.config import TrainConfig

MARKER = "train.json"
WRITER = "curate train"

# The names that training and the libraries it saves with give, below the output folder.
_MODEL = (
    r"(origin|config|generation_config|adapter_config|method|tokenizer|tokenizer_config"
    r"|preprocessor_config|processor_config|video_preprocessor_config"
    r"|special_tokens_map|added_tokens|vocab|model\.safetensors\.index)\.json"
    r"|(model|adapter_model|trained|model-\d+-of-\d+)\.safetensors"
    r"|chat_template\.jinja|additional_chat_templates/\w+\.jinja|merges\.txt|vocab\.txt"
    r"|(tokenizer|spiece|sentencepiece\.bpe)\.model"
)
_WRITTEN = re.compile(
    rf"((epochs/epoch-\d+|adapter|model)/)?({_MODEL})"
    r"|state/step-\d+/(state\.json|(weights|optimizer|reference)\.safetensors)"
    r"|(train|samples)\.json|metrics\.jsonl|curves\.svg|regulariser/fisher\.(safetensors|json)"
    r"|tensorboard/events\.out\.tfevents\.[\w.-]+"
)
_FOLDERS = re.compile(
    r"epochs(/epoch-\d+(/additional_chat_templates)?)?|state(/step-\d+)?|tensorboard|regulariser"
    r"|((adapter|model)/)?additional_chat_templates|adapter|model"
)
# What a run needs to go on; all else that it wrote is made again.
_NEEDED = (MARKER, "epochs", "state", "metrics.jsonl", "regulariser")
# How a file or folder is called until it is whole, see `curate.base.folder`.
_UNFINISHED = re.compile(r"\.(.+?)(\.\d+)?\.unfinished")


def check(config: TrainConfig) -> Path:
    """The output folder, which may be written to; nothing is touched.

    Free are a new name, an empty folder, what an earlier run wrote with `force`, and a run that
    was stopped with `resume` or `force`. Raises `CurateError` for any other.
    """
    out = check_place(config.out)
    _check_read(config, out)
    if not out.exists() or all(_is_first(out, entry) for entry in _entries(out)):
        return out
    status = _status(out)
    if status is None:
        raise CurateError(
            f"{out}: holds files that no training run wrote, so it is left alone; "
            "name another folder"
        )
    if status == "done" and config.resume:
        raise CurateError(f"{out}: this training run is done; there is nothing to resume")
    if not config.force and not config.resume:
        raise CurateError(
            f"{out}: holds an earlier training run; name another folder, or replace it with --force"
            if status == "done"
            else f"{out}: holds a training run that did not end; --resume goes on with it, --force "
            "replaces it"
        )
    _check_others(out, config.resume)
    return out


def _is_first(out: Path, entry: Path) -> bool:
    """Whether a run leaves this that was killed before it gave its first file a name."""
    if entry.is_symlink():
        return False
    if entry.is_dir():
        return entry == out / "epochs"
    return entry.parent == out and _name(out, entry) == MARKER and entry.name != MARKER


def _check_read(config: TrainConfig, out: Path) -> None:
    """Refuse a folder that holds what this run reads."""
    place = out.resolve()
    for source in (
        config.tokens,
        config.model,
        config.from_adapter,
        config.replay,
        config.retention,
        config.fisher_text,
        config.teacher,
        config.undesirable,
    ):
        if source is not None and Path(source).exists():
            read = Path(source).resolve()
            if read == place or place in read.parents:
                raise CurateError(f"{out}: the output folder holds {source}, which this run reads")


def _check_others(out: Path, resume: bool) -> None:
    """Refuse a folder with anything beside what training writes.

    A resumed run leaves a stranger's files where they are, so they may lie at the top and beside
    checkpoints and states, but not inside those, nor under a name that it needs itself.
    """
    others = [entry for entry in _entries(out) if not _is_written(out, entry)]
    if resume:
        beside = (out, out / "epochs", out / "state", out / "regulariser")
        others = [
            entry
            for entry in others
            if _has_our_name(out, entry)
            or (entry.parent not in beside and _has_our_name(out, entry.parent))
        ]
    if others:
        shown = some_of([str(entry.relative_to(out)) for entry in others])
        raise CurateError(
            f"{out}: holds {shown}, which no training run writes; move it away, or name another "
            "folder"
        )


def _status(out: Path) -> str | None:
    """How the run in this folder went; None if it holds none of ours."""
    marker = out / MARKER
    if marker.is_symlink() or not marker.is_file():
        return None
    try:
        content = json.loads(marker.read_bytes())
    except (ValueError, RecursionError):
        return None
    ours = isinstance(content, dict) and content.get("writer") == WRITER
    return str(content.get("status")) if ours else None


def claimed(config: TrainConfig, first: bool) -> AbstractContextManager[None]:
    """Keep other runs from the output folder until the block ends; the first process does it.

    Raises `CurateError` if another run has the folder, or if it can never be written to.
    """
    return locked(check_place(config.out)) if first else nullcontext()


def start(config: TrainConfig) -> Path:
    """The output folder, after `check` agreed: empty, or with what `resume` needs."""
    out = check(config)
    kept = _NEEDED if config.resume else ()
    for entry in _entries(out) if out.exists() else ():
        unfinished = any(_UNFINISHED.fullmatch(part) for part in entry.relative_to(out).parts)
        if _is_written(out, entry) and (unfinished or entry.relative_to(out).parts[0] not in kept):
            _remove(entry)
    (out / "epochs").mkdir(parents=True, exist_ok=True)
    return out


def _remove(entry: Path) -> None:
    """Remove a file, or a folder that has nothing left in it."""
    if not entry.is_dir():
        entry.unlink()
    elif not any(entry.iterdir()):
        entry.rmdir()


def _entries(folder: Path) -> Iterator[Path]:
    """All that lies in a folder, what is in it before a folder itself; no link is followed."""
    for place, folders, files in os.walk(folder, topdown=False):
        yield from (Path(place, name) for name in sorted([*files, *folders]))


def _is_written(out: Path, entry: Path) -> bool:
    """Whether training writes a file, or a folder, of this name at this place; never a link."""
    if entry.is_symlink():
        return False
    known = _FOLDERS if entry.is_dir() else _WRITTEN
    return bool(known.fullmatch(_name(out, entry)))


def _has_our_name(out: Path, entry: Path) -> bool:
    name = _name(out, entry)
    return bool(_FOLDERS.fullmatch(name) or _WRITTEN.fullmatch(name))


def _name(out: Path, entry: Path) -> str:
    """The path below the output folder, as it is once everything in it is whole."""
    parts = [_UNFINISHED.fullmatch(part) or part for part in entry.relative_to(out).parts]
    return "/".join(part if isinstance(part, str) else part[1] for part in parts)
