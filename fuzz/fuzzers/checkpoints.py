"""CKPT, its adapter and model folders that somebody changed, and the verbs that read them."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from fuzz.command import check_said, command
from fuzz.contract import Case, Fault, Fuzzer
from fuzz.fuzzers.folders import OTHERS, THEIRS, change, tamper
from tests.trainer_toys import reversed_pairs, write_model, write_tokenizer, write_tokens

SMALL = 200_000  # bytes of a file that is changed


@cache
def made() -> Path:
    """A folder with TOKENS, a base and a CKPT with an adapter, as they should be."""
    home = Path(tempfile.mkdtemp(prefix="made-"))
    write_tokens(home / "TOKENS", reversed_pairs(24))
    write_model(home / "base")
    write_tokenizer(home / "base")
    (home / OTHERS).write_text(THEIRS)
    (home / "prompts.txt").write_text("w5 w6\n")
    said = command([*train_words(home), "--out", str(home / "CKPT"), "--quiet"])
    assert said.code == 0, said.error
    return home


def train_words(home: Path) -> list[str]:
    """`curate train` of the tokens there."""
    words = ["train", home / "TOKENS", "--model", home / "base", "--method", "lora"]
    return [*map(str, words), "--max-steps", "2", "--no-proof", "--batch", "4"]


VERBS: dict[str, Callable[[Path], Sequence[str | Path]]] = {
    "merge": lambda home: ["merge", home / "CKPT", "--out", home / "M"],
    "chat": lambda home: [
        "chat", home / "CKPT", "--prompts", home / "prompts.txt", "--out", home / "a.jsonl",
        "--max-tokens", "3",
    ],
    "resume": lambda home: [*train_words(home), "--out", home / "CKPT", "--resume"],
    "train into it": lambda home: [*train_words(home), "--out", home / "CKPT"],
    "dry run": lambda home: [*train_words(home), "--out", home / "N", "--dry-run"],
}  # fmt: skip


def make(chance: random.Random) -> Case:
    """A changed small file below a folder, and a verb."""
    which = chance.choice(("CKPT", "CKPT", "TOKENS", "base"))
    paths = [path for path in sorted((made() / which).rglob("*")) if path.is_file()]
    path = chance.choice([path for path in paths if path.stat().st_size < SMALL])
    verb = chance.choice(list(VERBS))
    where = path.relative_to(made())
    case = {"folder": str(where.parent), "file": where.name, "verb": verb}
    return case | change(chance, path) | {"rehashed": False}


def check(case: Case, folder: Path) -> str:
    """Change a copy of the folders, and let the verb at it."""
    home = folder / "home"
    shutil.copytree(made(), home)
    tamper(case, home)
    said = command(VERBS[case["verb"]](home))
    check_said(case["verb"], said)
    if (home / OTHERS).read_text() != THEIRS:
        raise Fault(f"{case['verb']} changed a file of somebody else's")
    return "a sentence" if said.code else "done"


FUZZER = Fuzzer(make, check, prepare=made, cases_a_child=500)
