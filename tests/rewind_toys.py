"""A base, rows, a text from before, and runs of several methods to go back from."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.checkpoint_toys import train

# Trained hard enough that the base's way of going on is lost, for a few epochs that are all kept.
HARD: dict[str, Any] = {
    "num_train_epochs": 3,
    "held_out": 0.2,
    "save_total_limit": 3,
    "learning_rate": 0.02,
}
ROTATED = {"rotation_block": 8}


def write_general(path: Path, documents: int = 12, seed: int = 0) -> str:
    """A text of words that the toy tokenizer knows, which the rows have nothing of."""
    draw = random.Random(seed)
    texts = [" ".join(f"w{draw.randrange(4, 30)}" for _ in range(30)) for _ in range(documents)]
    path.write_text("\n\n".join(texts), encoding="utf-8")
    return str(path)


def hard_run(tokens: str, base: str, out: Path, method: str, **fields: Any) -> Path:
    """A run of a method that goes far from its base."""
    own = ROTATED if method in ("oft", "boft") else {}
    return train(tokens, base, out, method=method, **{**HARD, **own, **fields})
