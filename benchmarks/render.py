"""Rendering with all checks on, against transformers' masks and against no checks at all.

Rows are single questions and answers, drawn from a seed. `transformers` calls
`apply_chat_template(..., return_assistant_tokens_mask=True)` for each row; `bare` renders the
same template in plain Jinja and encodes with the same tokenizer in batches, without any mask.
Then one conversation of 200 turns, at 0.25, 0.5 and 1 MB.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import polars as pl

sys.path.insert(0, str(Path(__file__).parent))

from rows import DATA, need, texts

from curate.base.schema import RECORDS, content_id
from templates import RenderOptions, load_template, load_tokenizer, render

ROUND = 5_000  # rows
Conversations = list[list[dict[str, Any]]]
# The bundled templates with the tag that transformers makes its mask of, for one template each.
TAGGED = {
    "chatml": "{%- for m in messages %}{{- '<|im_start|>' + m.role + '\n' }}{%- if m.role == "
    "'assistant' %}{% generation %}{{- m.content + '<|im_end|>' }}{% endgeneration %}{%- else %}"
    "{{- m.content + '<|im_end|>' }}{%- endif %}{{- '\n' }}{%- endfor %}",
    "llama3": "{{- bos_token }}{%- for m in messages %}{{- '<|start_header_id|>' + m.role + "
    "'<|end_header_id|>\n\n' }}{%- if m.role == 'assistant' %}{% generation %}{{- m.content | trim"
    " + '<|eot_id|>' }}{% endgeneration %}{%- else %}{{- m.content | trim + '<|eot_id|>' }}"
    "{%- endif %}{%- endfor %}",
}


def records(conversations: Conversations) -> pl.DataFrame:
    rows = {
        "row": range(len(conversations)),
        "id": [content_id(messages) for messages in conversations],
        "source": ["bench.jsonl"] * len(conversations),
        "line": range(1, len(conversations) + 1),
        "messages": conversations,
        "meta": ["{}"] * len(conversations),
    }
    empty = {name: [None] * len(conversations) for name in RECORDS if name not in rows}
    return pl.DataFrame(rows | empty, schema_overrides=dict(RECORDS)).select(RECORDS.names())


def single_turns(rows: int) -> Conversations:
    return [
        [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        for prompt, answer in texts(0, rows)
    ]


def long_talk(size: int, turns: int = 200) -> Conversations:
    words = "the answer to that is a matter of taste, as so often in life. "
    content = (words * (size // len(words) + 1))[: size // turns]
    roles = ("user", "assistant")
    return [[{"role": roles[n % 2], "content": f"{n}: {content}"} for n in range(turns)]]


class Timed:
    """One way to do the work; `wall` and `busy` are seconds, the latter of all threads."""

    def __init__(self, what: str, work: Callable[[Conversations], object]) -> None:
        self.what, self.work, self.wall, self.busy = what, work, 0.0, 0.0

    def run(self, given: Conversations) -> None:
        wall, busy = time.perf_counter(), time.process_time()
        self.work(given)
        self.wall += time.perf_counter() - wall
        self.busy += time.process_time() - busy

    def __str__(self) -> str:
        return f"  {self.what:28}{self.wall:8.2f} s by the wall {self.busy:8.2f} s of processor"


def against_transformers(folder: str, template: str, given: Conversations) -> None:
    """All three in turn on `ROUND` rows at a time, so that other load meets all alike."""
    import transformers

    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours, chosen = load_tokenizer(folder), load_template(template, None)
    batches = [given[start : start + ROUND] for start in range(0, len(given), ROUND)]
    program = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(chosen.source)

    frames = {id(batch): records(batch) for batch in batches}

    def proven(batch: Conversations) -> None:
        done = render(frames[id(batch)], chosen, ours, RenderOptions())
        assert done.examples.height == len(batch), done.refused

    def masked(batch: Conversations) -> None:
        for messages in batch:
            theirs.apply_chat_template(
                messages,
                chat_template=TAGGED[template],
                return_assistant_tokens_mask=True,
                return_dict=True,
            )

    def bare(batch: Conversations) -> None:
        for start in range(0, len(batch), 512):
            part = batch[start : start + 512]
            written = [program.render(messages=m, **ours.special) for m in part]
            ours.backend.encode_batch(written, add_special_tokens=False)

    mine = Timed("curate, all checks", proven)
    others = [Timed("transformers, its mask", masked), Timed("bare Jinja, encode_batch", bare)]
    print(f"{template} on {Path(folder).name}, {len(given):,} rows")
    for batch in batches:
        for timed in (mine, *others):
            timed.run(batch)
    print(mine, *others, sep="\n")
    for timed, wanted in zip(others, (1.5, 1 / 1.5), strict=True):
        print(
            f"  {timed.wall / mine.wall:.2f} times as fast as {timed.what} by the wall, "
            f"{timed.busy / mine.busy:.2f} by processor (wanted: at least {wanted:.2f})"
        )


def long_rows(folder: str) -> None:
    tokenizer = load_tokenizer(folder)
    for name in ("chatml", "llama3"):
        template = load_template(name, None)
        for size in (250_000, 500_000, 1_000_000):
            frame = records(long_talk(size))
            started = time.perf_counter()
            assert render(frame, template, tokenizer).examples.height == 1
            spent = time.perf_counter() - started
            print(f"200 turns, {size / 1e6:.2f} MB, {name}: {spent:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", default=str(DATA / "tokenizers" / "llama3"))
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--template", action="append", choices=sorted(TAGGED))
    asked = parser.parse_args()
    if asked.tokenizer == parser.get_default("tokenizer"):
        need(Path(asked.tokenizer))
    for template in asked.template or sorted(TAGGED):
        against_transformers(asked.tokenizer, template, single_turns(asked.rows))
    long_rows(asked.tokenizer)


if __name__ == "__main__":
    main()
