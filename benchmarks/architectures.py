"""Which architectures can be trained: each walked from a tiny random model to answers that stop.

Two steps of full fine-tuning and of LoRA on a CPU, then the folders as others load them. `--docs`
writes `docs/architectures.md`; names of architectures walk those alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

PAGE = ROOT / "docs" / "architectures.md"
HEADER = """# Architectures

Each line is a tiny random model of an architecture that was trained for two steps on a CPU, with
all weights and with LoRA, and then loaded by plain transformers, and by peft from `adapter/`. Where
it says *stops*, nothing of the base was lost, the adapter on its base gave the logits of the merged
checkpoint, and generation ended at the trained stop by the settings that lie in each folder, once
it was made the likeliest token. `python benchmarks/architectures.py --docs` wrote it, and
`make slow` tests it (`tests/test_architectures.py`). An architecture that is not listed may work
as well: none is refused by its name. With transformers {transformers}, peft {peft}
and torch {torch}.

*Packed*: rows lie end to end without padding, as the model keeps them apart; others are padded.
*LoRA*: share of the parameters that learn (of such tiny models a large one), and what of the linear
layers and experts has no adapter.

| architecture | full | LoRA | rows |
|---|---|---|---|
"""


def line(name: str) -> str:
    """A row of the table, from two runs."""
    from tests.architectures import Outcome, walk

    found: list[Outcome] = []
    with tempfile.TemporaryDirectory() as home:
        for method in ("full", "lora"):
            folder = Path(home) / method
            folder.mkdir()
            found.append(walk(name, "full" if method == "full" else "lora", folder))
    full, lora = found
    cells = [_cell(full), _cell(lora)]
    if not lora.refused:
        cells[1] += f", {100 * lora.trained / lora.total:.0f} % learn{_more(lora.log)}"
    rows = "-" if full.refused else "packed" if full.packed and lora.packed else "padded"
    return f"| {name} | {cells[0]} | {cells[1]} | {rows} |"


def _cell(outcome: object) -> str:
    from tests.architectures import Outcome
    from tests.checkpoint_toys import STOP

    assert isinstance(outcome, Outcome)
    if outcome.refused:
        sentence = outcome.refused.rpartition("base: ")[2].partition(";")[0]
        return f"refused{' TOO LATE' if outcome.began else ''}: {sentence[:110]}"
    faults = [
        text
        for text, holds in (
            (f"lost {len(outcome.lost)}", outcome.lost),
            (f"unread {len(outcome.unread)}", outcome.unread),
            (f"lacking {len(outcome.lacking)}", outcome.lacking),
            (f"peft differs by {outcome.apart:.0e}", outcome.apart > 1e-5),
            ("learns nothing", outcome.moved < 1e-3),
            ("does not stop", any(one[-1] != STOP for one in outcome.answers)),
        )
        if holds
    ]
    return ", ".join(faults) or "stops"


def _more(log: tuple[str, ...]) -> str:
    texts = [
        ("experts adapted", "experts of the mixture are adapted"),
        ("experts frozen", "experts of the mixture stay frozen"),
    ]
    found = [text for text, words in texts if any(one.startswith(words) for one in log)]
    for one in log:
        if " of state-space layers stay as they are" in one:
            left = one.partition(" of state-space")[0].partition(": ")[2]
            found.append(f"not {left} of state-space layers")
    return "".join(f", {text}" for text in found)


def main() -> None:
    """Walk them all, or those named."""
    from transformers.utils import logging

    from tests.tiny_models import ARCHITECTURES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="architectures; all if none is named")
    parser.add_argument("--docs", action="store_true", help="write docs/architectures.md")
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    warnings.simplefilter("ignore")
    lines = []
    for name in options.names or sorted(ARCHITECTURES):
        started = time.perf_counter()
        lines.append(line(name))
        print(lines[-1], f"{time.perf_counter() - started:.1f} s", flush=True)
    if options.docs and not options.names:
        versions = {name: version(name) for name in ("transformers", "peft", "torch")}
        versions["torch"] = versions["torch"].partition("+")[0]
        page = HEADER.format(**versions) + "\n".join(lines) + "\n"
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
