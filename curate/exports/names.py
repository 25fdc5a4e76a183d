"""Names of files and models, without the folders of this machine."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_SEPARATORS = re.compile(r"[/\\]")
# Folders before a name, as a path from the root or a drive has them.
_FOLDERS = re.compile(r"(?<![\w/.:])(?:[A-Za-z]:[\\/]|~?/)(?:[^\s/\\:,;'\"]+[/\\])*(?=[^\s/\\])")


def file_names(paths: Sequence[str]) -> dict[str, str]:
    """Each path by its name, with as many of its folders as tell it from the others.

    >>> file_names(["/home/me/a.json", "x/b.json", "y/b.json"])
    {'/home/me/a.json': 'a.json', 'x/b.json': 'x/b.json', 'y/b.json': 'y/b.json'}
    """
    parts = {path: [part for part in _SEPARATORS.split(path) if part] or [path] for path in paths}
    names: dict[str, str] = {}
    alike, folders = list(parts), 0
    while alike:
        folders += 1
        tails = {path: "/".join(parts[path][-folders:]) for path in alike}
        names |= tails
        counts = Counter(tails.values())
        alike = [path for path in alike if counts[names[path]] > 1 and len(parts[path]) > folders]
    return names


def is_path(model: str) -> bool:
    """Whether a model's name can be none of the hub: those are two words with a slash between.

    >>> is_path("Qwen/Qwen3-8B"), is_path("./tiny"), is_path("my models/tiny")
    (False, True, True)
    """
    return re.fullmatch(r"(?:[\w-][\w.-]*/)?[\w-][\w.-]*", model) is None


def short_model(name: str) -> str:
    """A model's name without the folders of this machine.

    >>> short_model("/home/me/models/tiny"), short_model("Qwen/Qwen3-8B")
    ('tiny', 'Qwen/Qwen3-8B')
    """
    return _SEPARATORS.split(name.rstrip("/\\"))[-1] if is_path(name) else name


def without_folders(text: str) -> str:
    """The text with names of files, but not of the folders of this machine.

    >>> without_folders("compared with /home/me/evals/gsm8k.jsonl and 3/4 of a.jsonl")
    'compared with gsm8k.jsonl and 3/4 of a.jsonl'
    """
    return _FOLDERS.sub("", text)
