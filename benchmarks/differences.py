"""Written pairs: is a small difference that matters kept, and one that does not matter found?

Sixteen pairs of each kind, in `differences_pairs.json`: rows that differ in a number, a negation,
an operator, code, capitals, a name, a unit or a direction and so ask for something else, and rows
that ask the same in another writing. Half of each kind is for making rules (`--part dev`), half for
judging them (`--part test`).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from planted import Counts, Label, among, by_datasketch, markdown, own_methods, score
from planted_kinds import Row

PAIRS = json.loads(Path(__file__).with_name("differences_pairs.json").read_text("utf-8"))
# Where the two rows of a pair differ both texts stand: ⟪of one¦of the other⟫.
CHOICE = re.compile("⟪([^¦⟫]*)¦([^⟫]*)⟫")


def pairs(part: str) -> tuple[list[Row], list[Label]]:
    """The rows of `dev` or `test` and what each is, for `planted.score`."""
    rows: list[Row] = []
    labels: list[Label] = []
    for kinds in PAIRS.values():
        for kind, texts in kinds.items():
            for prompt, answer in texts[part == "test" :: 2]:
                labels += [Label(None, len(rows)), Label(kind, len(rows))]
                rows += [(_side(prompt, side), _side(answer, side)) for side in (1, 2)]
    return rows, labels


def _side(text: str, side: int) -> str:
    return CHOICE.sub(lambda found: found[side], text)


def table(results: Mapping[str, Counts], labels: list[Label]) -> str:
    """A line a kind and a column a method: pairs of which a row was dropped for the other."""
    lines = []
    for group, kinds in PAIRS.items():
        title = {"same": "found", "different": "wrong"}[group]
        size = sum(label.kind in kinds for label in labels)
        for kind in kinds:
            lines.append([f"{group}: {kind}", *(str(c.kinds[kind]) for c in results.values())])
        sums = (sum(counts.kinds[kind] for kind in kinds) for counts in results.values())
        lines.append([f"{title}, of {size}", *map(str, sums)])
    lines.append(["dropped for a third row", *(str(c.others) for c in results.values())])
    return markdown(results, lines)


def show(rows: list[Row], labels: list[Label], dropped: Mapping[int, int | None]) -> None:
    """The pairs that a method takes for what they are not."""
    for row, label in enumerate(labels):
        is_same = label.kind in PAIRS["same"]
        if label.kind and is_same == dropped.keys().isdisjoint({row, label.original}):
            print(f"\n{label.kind}: {'missed' if is_same else 'dropped'}")
            for prompt, answer in (rows[label.original], rows[row]):
                print(f"  {prompt!r} => {answer!r}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("dev", "test"), default="test")
    parser.add_argument("--only", default="", help="methods whose titles hold this")
    parser.add_argument("--show", action="store_true", help="print the first method's mistakes")
    asked = parser.parse_args()
    rows, labels = pairs(asked.part)
    peers = {"datasketch 1": lambda rows: by_datasketch(rows, 1)}
    dropped = {
        title: method(rows) for title, method in among(own_methods() | peers, asked.only).items()
    }
    print(f"{len(rows) // 2} pairs, part {asked.part}\n")
    print(table({title: score(labels, gone) for title, gone in dropped.items()}, labels))
    if asked.show:
        show(rows, labels, next(iter(dropped.values())))


if __name__ == "__main__":
    main()
