"""Whether a result may take the place of an earlier one, and how the two differ.

The same inputs with other settings are the everyday case: the earlier result is replaced, and what
changed is said. A result of other inputs is somebody's work, and stays unless force is given.
"""

from __future__ import annotations

import ast
import datetime
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from curate.base.errors import CurateError, some_of
from curate.base.folder import MANIFEST, is_made_by, read_manifest
from curate.base.manifest_table import restored
from curate.base.spelling import option

# Names that say nothing of what is behind them: only the same bytes are the same input.
NAMELESS = ("-", "<rows>", "<run>")

Manifest = Mapping[str, Any]
# What a result was made with, as people read it: groups of settings, such as one for each step.
Settings = Mapping[str, Mapping[str, str]]


class Kind(NamedTuple):
    """A kind of result: the `maker` in its manifest, what people call it, what it is made with."""

    maker: str
    called: str
    settings_of: Callable[[Manifest], Settings]


class Source(NamedTuple):
    """An input, as a manifest has it."""

    name: str
    sha256: str

    def marks(self) -> list[str]:
        """What is the same for the same input: its bytes, its name, its file as seen from here."""
        if self.name in NAMELESS:
            return [f"bytes {self.sha256}"]
        try:
            file = str(Path(self.name).resolve())
        except (OSError, ValueError, RuntimeError):  # a stranger's name may be that of no file
            file = self.name
        return [f"bytes {self.sha256}", f"name {self.name}", f"name {file}"]


def check_replaced(
    out: str | os.PathLike[str], kind: Kind, new: Manifest, force: bool = False
) -> str | None:
    """What is to be said of the result in `out` that a new one will replace; None without one.

    `new` is the manifest of the new one, as far as it is known. An input is the same if it has the
    same name or the same bytes. Raises `CurateError` where an input of the earlier result is none
    of the new one, unless `force`.
    """
    place = Path(out)
    if not is_made_by(place, kind.maker):
        return None
    old = _manifest_of(place)
    what = f"{kind.called} of {_when(place)}"
    before, now = sources_of(old), sources_of(new)
    known = _by_mark(now)
    gone = [one.name for one in before if not _match(one, known)]
    if gone or not before:
        which = f"from other data ({some_of(gone)})" if gone else "nobody knows from what data"
        if not force:
            raise CurateError(
                f"{out}: holds the {what}, made {which}; choose another {option('out')}, or "
                f"{option('force', True)}"
            )
        return f"{out}: replaces the {what}, made {which}"
    differing = list(differences(kind.settings_of(old), kind.settings_of(new)))
    how = f"with other settings ({some_of(differing, 5)})" if differing else "made the same way"
    news = "".join(f"; {line}" for line in _news(before, now))
    return f"{out}: replaces the {what}, {how}{news}"


def _manifest_of(place: Path) -> Manifest:
    """The manifest of the earlier result; without what a damaged table beside it holds."""
    manifest = read_manifest(place)
    try:
        return restored(place, manifest)
    except CurateError:  # nobody knows what is missing: as where a manifest names no inputs
        return {**manifest, "sources": []}


def sources_of(manifest: Manifest) -> list[Source]:
    """The inputs that a manifest names; one of a stranger may hold anything."""
    entries = manifest.get("sources")
    return [
        Source(str(entry.get("source")), str(entry.get("sha256")))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    ]


def _when(place: Path) -> str:
    written = datetime.datetime.fromtimestamp((place / MANIFEST).stat().st_mtime)
    return written.strftime("%Y-%m-%d %H:%M")


def _by_mark(sources: Iterable[Source]) -> dict[str, Source]:
    """The first input with each mark: there may be thousands, and each is looked for."""
    return {mark: source for source in reversed(list(sources)) for mark in source.marks()}


def _match(one: Source, others: Mapping[str, Source]) -> Source | None:
    """The same input among others (`_by_mark`): with the same bytes, or else with the same name."""
    return next((others[mark] for mark in one.marks() if mark in others), None)


def _news(before: Sequence[Source], now: Sequence[Source]) -> Iterator[str]:
    """What has become of the inputs."""
    known = _by_mark(before)
    matched = [(one, _match(one, known)) for one in now]
    changed = [one.name for one, old in matched if old and old.sha256 != one.sha256]
    if changed:
        yield f"{some_of(changed)} {_has(changed)} changed since"
    if added := [one.name for one, old in matched if old is None]:
        yield f"{some_of(added)} {_has(added)} been added"


def _has(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def differences(old: Settings, new: Settings) -> Iterator[str]:
    """What differs in the groups that both have.

    >>> list(differences({"near": {"threshold": "0.7"}}, {"near": {"threshold": "0.8"}, "mix": {}}))
    ['near.threshold 0.7 -> 0.8']
    """
    for group in (name for name in old if name in new):
        for name in dict.fromkeys([*old[group], *new[group]]):
            left, right = old[group].get(name, "none"), new[group].get(name, "none")
            if left != right:
                yield f"{group}{'.' if group else ''}{name} {_short(left)} -> {_short(right)}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]} …"


def shown_settings(shown: str) -> dict[str, str]:
    """The settings of a step, from what it is shown as.

    >>> shown_settings("Near(threshold=0.7, field='both')")
    {'threshold': '0.7', 'field': "'both'"}
    >>> shown_settings("mine.py:keep")
    {'step': 'mine.py:keep'}
    """
    shown = re.sub(r" at 0x[0-9a-f]+", "", shown)  # where an object lies is no setting
    try:
        call = ast.parse(shown, mode="eval").body if len(shown) < 10_000 else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        call = None
    if not isinstance(call, ast.Call) or call.args:
        return {"step": shown}
    return {str(each.arg): ast.unparse(each.value) for each in call.keywords}
