"""Planted duplicates that `near` and its peers find among real rows, and what they drop wrongly.

2,000 real rows that no two of are alike, thirty of each of twelve kinds of duplicate of some of
them, thirty of each of three kinds that look alike and ask for something else, and 200 different
questions under the few wrappers of a tool dump. `--part dev` is
for making rules, `--part test` (other rows, synonyms, names and sentences) for judging them. The
peers are datasketch and text-dedup 0.4; `--install` makes an environment for the second.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import polars as pl

sys.path.insert(0, str(Path(__file__).parent))

from families import incidence, similar_pairs
from near import records
from peers import as_text, install, text_dedup
from planted_kinds import DIFFERENT, DUPLICATES, SENTENCE_END, Row, Vocabulary, is_code, tables
from rows import DATA, need

from curate.base.contract import Filter
from curate.pipeline.judging import joined, judge, what_judges_know
from filters.dedup.exact import Exact
from filters.dedup.near.filter import Near
from filters.dedup.semantic.filter import Semantic

BASE, EACH, WRAPPED = 2_000, 30, 200
TEMPLATED = "templated"
COSINES = (0.8, 0.85, 0.88, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)
# No two rows of the base are this alike in words, in the prompt or in all.
LIKE = 0.4
SHARES = {
    "alpaca_random_9k": 1_050,
    "alpaca_en_demo": 250,
    "code_alpaca_2k": 200,
    "gsm8k_train_alpaca": 200,
    "lima_1k": 150,
    "gpteacher_roleplay": 150,
}
WRAPPER = re.compile(r"Below is an instruction .*?### Instruction: (.*?)(?: ?### Response:)?", re.S)
Dropped = Mapping[int, int | None]
# Read by the peer's own environment: the texts that it kept.
KEPT = """
import json, sys, datasets
print(json.dumps(list(datasets.load_from_disk(sys.argv[1])["text"])))
"""


class Label(NamedTuple):
    """What a row is: of the base (no kind), made of row `original` by a change, or templated."""

    kind: str | None
    original: int


class Counts(NamedTuple):
    """What a method dropped: of each kind, and of rows that nothing was planted for.

    `kinds` counts templated rows too; they are neither wrong nor others.
    """

    kinds: Counter[str]
    others: int

    @property
    def found(self) -> int:
        return sum(self.kinds[kind] for kind in DUPLICATES)

    @property
    def wrong(self) -> int:
        return sum(self.kinds[kind] for kind in DIFFERENT)


def planted(part: str, seed: int = 0, data: Path = DATA) -> tuple[list[Row], list[Label]]:
    """The rows of `dev` or `test`, in the order of chance, and what each is.

    The same for the same arguments. No row of one part's base stands in the other's.
    """
    chance = random.Random(seed)
    rows, left = _base(part, chance, data)
    changed = _changed(chance, rows, _vocabulary(part, rows + left, left))
    everything = [(row, Label(None, at)) for at, row in enumerate(rows)]
    everything += changed
    everything += [(row, Label(TEMPLATED, 0)) for row in _templated(part, chance, data)]
    order = list(range(len(everything)))
    chance.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    found = [everything[at] for at in order]
    labels = [Label(label.kind, place[label.original]) for _, label in found]
    return [row for row, _ in found], labels


def _base(part: str, chance: random.Random, data: Path) -> tuple[list[Row], list[Row]]:
    """Rows of each dump by its share, no two alike; and rows that were not taken."""
    drawn: list[tuple[str, Row]] = []
    for dump in SHARES:
        half = [row for row in _english(data / "raw" / f"{dump}.json") if _part(row) == part]
        drawn += [(dump, row) for row in chance.sample(half, len(half))[: SHARES[dump] * 3]]
    like = _alike([row for _, row in drawn])
    count: Counter[str] = Counter()
    taken: set[int] = set()
    for at, (dump, _) in enumerate(drawn):
        if count[dump] < SHARES[dump] and taken.isdisjoint(like[at]):
            taken.add(at)
            count[dump] += 1
    if len(taken) < BASE:
        raise SystemExit(f"planted: {len(taken)} rows that are not alike in {data}; {BASE} wanted")
    rows = [drawn[at][1] for at in sorted(taken)]
    return rows, [
        row for at, (dump, row) in enumerate(drawn) if at not in taken and "alpaca" in dump
    ]


def _templated(part: str, chance: random.Random, data: Path) -> list[Row]:
    """Rows under the wrappers of a tool dump; what stands below those is not alike."""
    dump = _english(data / "raw" / "gpteacher_toolformer.json")
    half = [row for row in dump if _part(row) == part and row[0].count("\n") >= 4]
    drawn = chance.sample(half, WRAPPED * 4)
    like = _alike([(prompt.split("\n", 4)[4], answer) for prompt, answer in drawn])
    taken: list[int] = []
    for at in range(len(drawn)):
        if len(taken) < WRAPPED and like[at].isdisjoint(taken):
            taken.append(at)
    return [drawn[at] for at in taken]


def _part(row: Row) -> str:
    return ("dev", "test")[zlib.crc32(row[0].lower().encode()) % 2]


def _english(path: Path) -> Iterator[Row]:
    """Single questions of a dump with their answers, each prompt once."""
    seen = set()
    for row in json.loads(path.read_bytes()):
        if "conversations" in row:
            turns = [turn["value"] for turn in row["conversations"]]
            prompt, answer = WRAPPER.sub(r"\1", turns[0]), turns[1] if len(turns) == 2 else ""
        else:
            prompt = f"{row['instruction']}\n{row.get('input') or ''}"
            answer = row.get("output") or row.get("response") or ""
        prompt, answer = prompt.strip(), answer.strip()
        text = prompt + answer
        latin = sum(character < "\x80" for character in text) >= 0.98 * len(text)
        if answer and latin and len(prompt.split()) >= 4 and prompt.lower() not in seen:
            seen.add(prompt.lower())
            yield prompt, answer


def _alike(rows: list[Row]) -> list[set[int]]:
    """For each row those that share too many of their word 3-grams, in the prompt or in all."""
    found: list[set[int]] = [set() for _ in rows]
    for texts in ([prompt for prompt, _ in rows], ["\n".join(row) for row in rows]):
        for low, high, _ in similar_pairs(incidence(pl.Series(texts)), LIKE):
            for one, other in zip(low.tolist(), high.tolist(), strict=True):
                found[one].add(other)
                found[other].add(one)
    return found


def _vocabulary(part: str, rows: list[Row], left: list[Row]) -> Vocabulary:
    """The tables of the part, sentences of rows that were left, and the words of all."""
    known = Counter(re.findall(r"[a-z]+", " ".join("\n".join(row) for row in rows).lower()))
    answers = [answer for prompt, answer in left if not is_code((prompt, answer))]
    sentences = [sentence for answer in answers for sentence in SENTENCE_END.split(answer)[1:]]
    chosen = [
        sentence
        for sentence in sentences
        if 5 <= len(sentence.split()) <= 12 and re.fullmatch(r"[A-Z][A-Za-z ,'-]+\.", sentence)
    ]
    return tables(part)._replace(
        sentences=chosen, known=frozenset(word for word, count in known.items() if count > 1)
    )


def _changed(
    chance: random.Random, rows: list[Row], words: Vocabulary
) -> Iterator[tuple[Row, Label]]:
    """Thirty of each kind, no two of the same row; kinds that fit few rows choose first."""
    free = chance.sample(range(len(rows)), len(rows))
    kinds = [*DIFFERENT.items(), *reversed(DUPLICATES.items())]
    for kind, change in kinds:
        made: list[int] = []
        for at in free:
            new = change(chance, rows[at], words)
            if new is not None and new != rows[at] and len(made) < EACH:
                made.append(at)
                yield new, Label(kind, at)
        if len(made) < EACH:
            raise SystemExit(f"planted: only {len(made)} rows fit {kind!r}; {EACH} wanted")
        free = [at for at in free if at not in made]


def score(labels: Sequence[Label], dropped: Dropped) -> Counts:
    """Count what a method dropped.

    `dropped` gives for each row that is dropped the row it duplicates, or None where a method does
    not say. A planted duplicate is found if it or its original is dropped for the other or for the
    same third row. What looks alike is wrong if it or its original is dropped. Rows of the base
    that nothing was made of are others, and so are planted ones that went for a row not theirs.
    """
    kinds: Counter[str] = Counter()
    explained: set[int] = set()
    for row, (kind, original) in enumerate(labels):
        if kind == TEMPLATED:
            explained.add(row)
            kinds[kind] += row in dropped
            continue
        gone = {row, original} & dropped.keys()
        if kind is None or not gone:
            continue
        explained |= {row, original}
        alike = None in (dropped.get(at, at) for at in gone)
        if kind in DIFFERENT or alike or _root(dropped, row) == _root(dropped, original):
            kinds[kind] += 1
        else:
            explained -= gone
    return Counts(kinds, len(dropped.keys() - explained))


def _root(dropped: Dropped, row: int) -> int:
    """The row that is kept in the end."""
    while (instead := dropped.get(row)) is not None:
        row = instead
    return row


def by_filter(step: Filter, rows: list[Row]) -> Dropped:
    """What one of our own steps drops."""
    return _dropped(judge(step, records(rows)).verdicts)


def by_thresholds(encoder: str, rows: list[Row]) -> dict[str, Dropped]:
    """What `semantic` with an encoder drops from each cosine on; the rows are measured once."""
    frame = records(rows)
    first = Semantic(encoder=encoder)
    measures = joined(first.name, what_judges_know(frame), first.measure(frame))
    steps = {f"from {cosine}": replace(first, threshold=cosine) for cosine in COSINES}
    return {title: _dropped(step.judge(measures).verdicts) for title, step in steps.items()}


def _dropped(verdicts: pl.DataFrame) -> Dropped:
    gone = verdicts.select("duplicate_of", ~pl.col("keep")).with_row_index().filter("keep")
    return dict(gone.select("index", "duplicate_of").iter_rows())


def by_datasketch(rows: list[Row], size: int, threshold: float = 0.7) -> Dropped:
    """As its documentation does: a row is dropped if the index has one like it already."""
    from datasketch import MinHash, MinHashLSH

    index, dropped = MinHashLSH(threshold=threshold, num_perm=128), {}
    for number, row in enumerate(rows):
        words = re.findall(r"\w+", "\n".join(row).lower())
        runs = {" ".join(words[at : at + size]) for at in range(max(1, len(words) - size + 1))}
        sketch = MinHash(num_perm=128)
        sketch.update_batch([run.encode() for run in runs])
        like = index.query(sketch)
        if like:
            dropped[number] = min(like)
        else:
            index.insert(number, sketch)
    return dropped


def by_text_dedup(python: Path, rows: list[Row], *settings: str) -> Dropped:
    """Its MinHash command; it does not say for which row one goes."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        text_dedup(python, as_text(rows, folder), folder, *settings)
        command = [python, "-c", KEPT, folder / "kept"]
        done = subprocess.run(command, capture_output=True, check=True)
    kept = Counter(json.loads(done.stdout))
    dropped: dict[int, int | None] = {}
    for number, (prompt, answer) in enumerate(rows):
        text = f"{prompt}\n{answer}"
        kept[text] -= 1
        if kept[text] < 0:
            dropped[number] = None
    return dropped


Method = Callable[[list[Row]], Dropped]


def own_methods() -> dict[str, Method]:
    """Our steps at their defaults, and `near` and `semantic` with other settings."""
    steps: dict[str, Filter] = {
        "near": Near(),
        "exact": Exact(),
        "near char": Near(shingle="char"),
        "near rouge_l": Near(similarity="rouge_l"),
        "semantic .95": Semantic(threshold=0.95),
        "semantic .9": Semantic(threshold=0.9),
    }
    return {title: _method(step) for title, step in steps.items()}


def among(methods: Mapping[str, Method], wanted: str) -> dict[str, Method]:
    """Those whose titles hold what is wanted."""
    return {title: method for title, method in methods.items() if wanted in title}


def _method(step: Filter) -> Method:
    return lambda rows: by_filter(step, rows)


def peer_methods(python: Path) -> dict[str, Method]:
    """datasketch on words and on runs of three; text-dedup as it comes and on single words."""
    found: dict[str, Method] = {
        "datasketch 1": lambda rows: by_datasketch(rows, 1),
        "datasketch 3": lambda rows: by_datasketch(rows, 3),
    }
    if python.exists():
        found["text-dedup"] = lambda rows: by_text_dedup(python, rows)
        alike = ("--ngram", "1", "--threshold", "0.7")
        found["text-dedup 1"] = lambda rows: by_text_dedup(python, rows, *alike)
    return found


def table(results: Mapping[str, Counts]) -> str:
    """A line a kind and a column a method."""
    lines = [
        [kind, *(str(counts.kinds[kind]) for counts in results.values())]
        for kind in (*DUPLICATES, *DIFFERENT)
    ]
    all_found, all_wrong = EACH * len(DUPLICATES), EACH * len(DIFFERENT)
    lines.append([f"found, of {all_found}", *(str(c.found) for c in results.values())])
    lines.append([f"wrong, of {all_wrong}", *(str(c.wrong) for c in results.values())])
    lines.append([f"others, of {BASE:,}", *(str(c.others) for c in results.values())])
    templated = [str(counts.kinds[TEMPLATED]) for counts in results.values()]
    lines.append([f"templated, of {WRAPPED}", *templated])
    return markdown(results, lines)


def markdown(methods: Iterable[str], lines: Iterable[list[str]]) -> str:
    """A table with a column for each method; each line begins with its title."""
    titles = ["", *methods]
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def show(rows: list[Row], labels: list[Label], kind: str, count: int) -> None:
    """Pairs of one kind, to be read."""
    for row, label in enumerate(labels):
        if label.kind == kind and count:
            count -= 1
            for title, at in (("original", label.original), ("planted", row)):
                print(f"--- {title} {at}\n{rows[at][0]}\n=> {rows[at][1]}")
            print("=" * 80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("dev", "test"), default="test")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", choices=(*DUPLICATES, *DIFFERENT), help="print pairs of a kind")
    parser.add_argument("--count", type=int, default=10, help="pairs to show")
    parser.add_argument("--only", default="", help="methods whose titles hold this")
    parser.add_argument("--encoder", help="print `semantic` with this encoder at many thresholds")
    parser.add_argument("--own", action="store_true", help="leave the peers out")
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(os.environ.get("CURATE_PEERS", ".venv/peers")),
        help="their virtual environment (default: $CURATE_PEERS or .venv/peers)",
    )
    parser.add_argument("--install", action="store_true", help="make that environment first")
    parser.add_argument("--data", type=Path, default=DATA)
    asked = parser.parse_args()
    need(asked.data)
    rows, labels = planted(asked.part, asked.seed, asked.data)
    if asked.show:
        show(rows, labels, asked.show, asked.count)
        return
    if asked.install and not asked.peers.exists():
        install(asked.peers)
    python = asked.peers.absolute() / "bin" / "python"
    if asked.encoder:
        dropped = by_thresholds(asked.encoder, rows)
        print(f"semantic, encoder {asked.encoder}, part {asked.part}, seed {asked.seed}\n")
        print(table({title: score(labels, gone) for title, gone in dropped.items()}))
        return
    methods = among(own_methods() | ({} if asked.own else peer_methods(python)), asked.only)
    print(f"{len(rows):,} rows, part {asked.part}, seed {asked.seed}\n")
    print(table({title: score(labels, method(rows)) for title, method in methods.items()}))
    if not asked.own and not python.exists():
        print(f"\nwithout text-dedup: not in {asked.peers}; `--install` puts it there")


if __name__ == "__main__":
    main()
