"""A dump with what can go wrong in it, and the hash of all that a run of it wrote."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

ROWS = 6_000
_WORDS = [f"w{n}" for n in range(300)]


def lines() -> list[str]:
    """Rows with duplicates, near duplicates, faults, wrappers, tags of their own, and rejects."""
    chance, made = random.Random(5), list[str]()
    for number in range(ROWS):
        text = " ".join(chance.choices(_WORDS, k=chance.randint(3, 40)))
        row: dict[str, Any] = {"instruction": f"Write about {text}?", "output": f"About {text}."}
        kind = number % 20
        if kind == 1:
            row = json.loads(made[-1]) if made[-1].startswith("{") else row
        elif kind == 2 and made[-1].startswith("{"):
            row = json.loads(made[-1])
            row["output"] = row.get("output", "") + " Indeed so."
        elif kind == 3:
            row["output"] = ""
        elif kind == 4:
            row["output"] += "</s>"
        elif kind == 5:
            row["score"] = number / 7
        elif kind == 6:
            row["output"] = "Я не знаю, что сказать об этом, но попробую." + text
        made.append("no row" if kind == 7 else json.dumps(row, ensure_ascii=False))
    return made


def write_dump(path: Path) -> Path:
    """The lines as a file."""
    path.write_text("\n".join(lines()) + "\n", "utf-8")
    return path


def digest(run: Path) -> str:
    """One hash of all that a run wrote, but for how long it took."""
    whole = hashlib.sha256()
    for path in sorted(run.iterdir()):
        data = path.read_bytes()
        if path.name == "report.html":
            continue  # it shows the seconds
        if path.name == "manifest.json":
            manifest = json.loads(data)
            del manifest["seconds"]
            data = json.dumps(manifest).encode()
        whole.update(path.name.encode() + data)
    return whole.hexdigest()
