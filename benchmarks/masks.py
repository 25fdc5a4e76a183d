"""Masks against an oracle: every template we have, many conversations, compared by token ids.

The oracle renders each prompt and each turn by transformers and encodes them by itself
(`masks_oracle`). A row is exact if every answer is trained as the model must generate it, refused
if rendering refuses it, and wrong if it is anything else. Templates are the bundled ones, those of
TRL, and some made up to be odd (`masks_templates`); tokenizers are made here: with the template's
control tokens and the family's eos, with another eos, in the style of SentencePiece, and without
control tokens at all (`TOKENIZERS`).
"""

from __future__ import annotations

import argparse
import datetime
import functools
import importlib.resources
import json
import re
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import tokenizers
import transformers
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers

sys.path.insert(0, str(Path(__file__).parent))

from masks_oracle import (
    Conversation,
    Example,
    Fault,
    Ids,
    Options,
    Renders,
    Stop,
    judge,
    moved,
)
from masks_rows import Shape, shapes
from masks_templates import NAMED, ODD

import curate
from curate.base.errors import CurateError
from curate.data import read_data
from templates import TEMPLATES

_CONTROL = re.compile(
    r"<\|[^|<>\s{}'\"]{1,40}\|>|<｜[^｜]+｜>|<\|[^<>\s|{}']{1,30}>|<[^<>\s|{}']{1,30}\|>"
    r"|</?(?:s|sop|eop|think|tool_call|tool_response|image|arg_key|arg_value|start_of_\w+|end_of_\w+)>"
    r"|\[/?(?:INST|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|\[gMASK\]"
)
# Added tokens that are vocabulary of the model, not special ones, as in Qwen's tokenizers.
_PLAIN = re.compile(r"</?(?:think|tool_call|tool_response|arg_key|arg_value)>")
# How a family's tokenizer calls its eos and bos, by the start of a template's name.
_EOS = {
    "cohere": "<|END_OF_TURN_TOKEN|>",
    "command": "<|END_OF_TURN_TOKEN|>",
    "deepseek": "<｜end▁of▁sentence｜>",
    "diffusion": "<eos>",
    "gemma4": "<turn|>",
    "gemma": "<eos>",
    "glm": "<|endoftext|>",
    "gpt": "<|return|>",
    "idefics": "<end_of_utterance>",
    "smolvlm": "<end_of_utterance>",
    "lfm": "<|im_end|>",
    "llama": "<|eot_id|>",
    "muse": "<|eot|>",
    "nemotron": "<|im_end|>",
    "phi": "<|endoftext|>",
    "qwen": "<|im_end|>",
    "chatml": "<|im_end|>",
}
_BOS = {
    "llama": "<|begin_of_text|>",
    "gemma": "<bos>",
    "diffusion": "<bos>",
    "cohere": "<BOS_TOKEN>",
}
_CORPUS = [
    "How many beans are there in Bonn? There are seven beans. I recall that Lima likes otters.",
    "user assistant system tool: the answer is yes, no, ok!\n\nTrue false null\n",
    '{"name": "weather", "arguments": {"city": "Oslo", "days": 2}}\n\n# Tools\n',
    "### Human: and Assistant: [x] <y> </z>\n\n<| |>\n",
] * 4


@functools.cache
def _base() -> str:
    """A byte-level BPE without any added token, as JSON."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        _CORPUS,
        trainers.BpeTrainer(
            vocab_size=500,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    return str(backend.to_str())


@functools.cache
def _pieces() -> str:
    """The same in the style of SentencePiece: a space before the text, bytes for odd letters."""
    backend = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<unk>"], show_progress=False)
    backend.train_from_iterator(_CORPUS, trainer)
    whole = json.loads(backend.to_str())
    vocabulary = whole["model"]["vocab"]
    for byte in range(256):
        vocabulary.setdefault(f"<0x{byte:02X}>", len(vocabulary))
    whole["model"]["byte_fallback"] = True
    whole["added_tokens"] = []
    backend = tokenizers.Tokenizer.from_str(json.dumps(whole))
    spaces = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence([*spaces, decoders.Strip(" ", 1, 0)])
    return str(backend.to_str())


def make_tokenizer(controls: Sequence[str], bos: str, eos: str, base: str) -> Any:
    """A tokenizer of transformers: that of `base`, with these added tokens."""
    backend = tokenizers.Tokenizer.from_str(base)
    texts = dict.fromkeys([bos, eos, *controls])
    for text in texts:
        special = not _PLAIN.fullmatch(text)
        backend.add_tokens([AddedToken(text, special=special, normalized=False)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=bos, eos_token=eos
    )


class Subject(NamedTuple):
    """A template to judge: its name, its source, and how `curate.render` is given it."""

    name: str
    source: str | Mapping[str, str]
    bundled: bool = False

    @property
    def text(self) -> str:
        return self.source if isinstance(self.source, str) else "\n".join(self.source.values())


def subjects() -> Iterator[Subject]:
    """The bundled templates, those of TRL, and those made up to be odd."""
    for name in TEMPLATES:
        place = importlib.resources.files("templates") / "chat" / f"{name}.jinja"
        yield Subject(name, place.read_text("utf-8"), True)
    folder = Path(str(importlib.resources.files("trl"))) / "chat_templates"
    for path in sorted(folder.glob("*.jinja")):
        yield Subject(f"trl/{path.stem}", path.read_text("utf-8"))
    for name, source in ODD.items():
        yield Subject(f"odd/{name}", source)
    for name, sources in NAMED.items():
        yield Subject(f"named/{name}", sources)


def controls_of(subject: Subject) -> list[str]:
    """The texts of a template that look like control tokens."""
    found = dict.fromkeys(_CONTROL.findall(subject.text))
    if "'<|' + " in subject.text or "<|{{" in subject.text:
        found |= dict.fromkeys(["<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"])
    return sorted(found)


def _named(known: Mapping[str, str], name: str) -> str | None:
    bare = name.removeprefix("trl/")
    return next((text for start, text in known.items() if bare.startswith(start)), None)


TOKENIZERS = {
    "own": "the template's control tokens, and the eos of its family",
    "other": "the template's control tokens, and an eos that it does not write",
    "pieces": "as other, but in the style of SentencePiece",
    "text": "no control tokens: all that the template writes is text",
}


def tokenizer_of(subject: Subject, kind: str) -> Any:
    """The tokenizer of a kind (`TOKENIZERS`) that a template is judged with."""
    bos = _named(_BOS, subject.name) or "<s>"
    eos = _named(_EOS, subject.name) or "</s>"
    if subject.name.startswith("odd/bos opens"):
        bos = "<|im_start|>"
    if kind != "own":
        eos = "</s>" if eos != "</s>" else "<|endoftext|>"
    controls = [] if kind == "text" else controls_of(subject)
    return make_tokenizer(controls, bos, eos, _pieces() if kind == "pieces" else _base())


def spelt(controls: Sequence[str]) -> list[str]:
    """Control tokens for the rows that spell some: a few suffice."""
    special = [text for text in controls if not _PLAIN.fullmatch(text)]
    picked = [text for text in special if re.search("end|eot|turn|START|INST", text)] or special
    return picked[:2]


class Remedy(NamedTuple):
    """How many refused rows were rendered again with an option, and what they then were."""

    rows: int
    exact: int
    wrong: int


def rows_of(subject: Subject, repetitions: int, contents: bool) -> list[Shape]:
    """The rows that a template is judged with."""
    return list(shapes(spelt(controls_of(subject)), repetitions, contents))


@dataclass
class Outcome:
    """What became of the rows of one template with one tokenizer."""

    rows: int = 0
    exact: int = 0
    refused: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    messages: dict[int, tuple[str, str]] = field(default_factory=dict)
    wrong: list[tuple[Shape, int, Fault]] = field(default_factory=list)
    hows: Counter[str] = field(default_factory=Counter)
    failed: str = ""  # the template is refused as a whole


class Bench:
    """One template with one tokenizer."""

    def __init__(self, subject: Subject, tokenizer: Any) -> None:
        self.subject, self.tokenizer = subject, tokenizer
        self.ids = Ids(tokenizer)
        self.renders = Renders(tokenizer, subject.source)

    def run(self, rows: Sequence[Shape], **options: Any) -> Outcome:
        """Render the rows as a user would, and judge them."""
        outcome = Outcome(rows=len(rows))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.jsonl"
            lines = [json.dumps(shape.row, ensure_ascii=False) for shape in rows]
            path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
            # A line that cannot be read is no row: the others are numbered without it.
            read = [line - 1 for line in read_data(path).records["line"]]
            try:
                made = curate.render(
                    path,
                    tokenizer=self.tokenizer,
                    template=self.subject.name if self.subject.bundled else None,
                    date=datetime.date.today().isoformat(),
                    **options,
                )
            except CurateError as error:
                outcome.failed = str(error)
                outcome.refused["whole template"] = list(range(len(rows)))
                return outcome
        unread = set(range(len(rows))) - set(read)
        if unread:
            outcome.refused["unreadable"] = sorted(unread)
        self._judge(rows, read, made, options, outcome)
        return outcome

    def _judge(
        self,
        rows: Sequence[Shape],
        read: Sequence[int],
        made: Any,
        options: Mapping[str, Any],
        outcome: Outcome,
    ) -> None:
        stops = self._stops(made.manifest["stop"])
        right = Options(
            options.get("arguments", {}),
            options.get("append_eos", False),
            options.get("completion", "template"),
        )
        examples: dict[int, list[Example]] = defaultdict(list)
        for row in made.examples.iter_rows(named=True):
            examples[read[row["row"]]].append(
                Example(row["input_ids"], row["labels"], row["turns"])
            )
        # Lines that cannot be read are no rows: `read` is without them.
        for row in made.refused.drop_nulls("row").iter_rows(named=True):
            outcome.refused[row["check"]].append(read[row["row"]])
            outcome.messages[read[row["row"]]] = (row["check"], row["message"])
        for number in read:
            shape = rows[number]
            if number in outcome.messages:
                if number in examples:
                    outcome.wrong.append((shape, number, Fault("refused and rendered", None)))
                continue
            try:
                outcome.hows += self._judge_row(shape, examples[number], stops, right)
                outcome.exact += 1
            except Fault as fault:
                outcome.wrong.append((shape, number, fault))

    def _judge_row(
        self, shape: Shape, examples: Sequence[Example], stops: Sequence[Stop], options: Options
    ) -> Counter[str]:
        faults: list[Fault] = []
        for messages in self._readings(shape):
            row = {**shape.row, "messages": messages}
            eos = self.tokenizer.eos_token
            try:
                return judge(
                    Conversation(self.renders, self.ids, row, stops, options, eos), examples
                )
            except Fault as fault:
                faults.append(fault)
        raise faults[0]

    def _readings(self, shape: Shape) -> Iterator[Sequence[dict[str, Any]]]:
        """What may be made of a row's messages: thoughts go where the template writes them."""
        has_place = self.renders.writes_reasoning(shape.row)
        for messages in (shape.row["messages"], *shape.others):
            yield (moved(messages) if has_place else None) or messages

    def stops_after(self, rows: Sequence[Shape]) -> list[str]:
        """The control tokens that come first after answers: the three that most have."""
        found: Counter[str] = Counter()
        for shape in rows:
            one = Conversation(self.renders, self.ids, shape.row, (), Options(), "")
            found.update(filter(None, map(one.token_after, one.turns)))
        return [text for text, _ in found.most_common(3)]

    def _stops(self, stop: Mapping[str, Any]) -> list[Stop]:
        texts = {number: text for text, number in self.ids.controls.items()}
        return [
            *(Stop(texts[number], number) for number in stop["ids"]),
            *(Stop(text, None) for text in stop["strings"]),
        ]


# What may help a row that is refused, as an option of the command line names it.
REMEDIES: dict[str, dict[str, Any]] = {
    "--append-eos": {"append_eos": True},
    "--arg enable_thinking=true": {"arguments": {"enable_thinking": True}},
    "--arg enable_thinking=false": {"arguments": {"enable_thinking": False}},
    "--completion raw": {"completion": "raw"},
    "--mask operational": {"mask": "operational"},
    "--append-eos --mask operational": {"append_eos": True, "mask": "operational"},
}
# Refusals that no option is meant to help: such rows have nothing that could be trained.
_HOPELESS = ("unreadable", "no_target", "empty")


def remedies(
    bench: Bench, rows: Sequence[Shape], outcome: Outcome, wrong: bool = False
) -> dict[str, dict[str, Remedy]]:
    """For each reason of refusal, how many of its rows each remedy makes exact."""
    found: dict[str, dict[str, Remedy]] = {}
    for check, numbers in sorted(outcome.refused.items()):
        if check in _HOPELESS:
            continue
        refused = [rows[number] for number in numbers]
        tries = {
            name: options
            for name, options in REMEDIES.items()
            if "arguments" not in options or bench.renders.asks
        }
        for stop in bench.stops_after(refused):
            tries[f"--stop {stop}"] = {"stops": (stop,)}
            tries[f"--append-eos --stop {stop}"] = {"stops": (stop,), "append_eos": True}
        found[check] = {}
        for name, options in tries.items():
            after = bench.run(refused, **options)
            found[check][name] = Remedy(len(refused), after.exact, len(after.wrong))
            if wrong and after.wrong:
                print(f"    {check}, with {name}:")
                show_wrong(after)
    return found


def report(name: str, kind: str, outcome: Outcome) -> str:
    """One line of the table."""
    reasons = ", ".join(f"{check} {len(rows)}" for check, rows in sorted(outcome.refused.items()))
    count = sum(map(len, outcome.refused.values()))
    return f"| {name} | {kind} | {outcome.exact} | {count} | {len(outcome.wrong)} | {reasons} |"


def show_wrong(outcome: Outcome) -> None:
    """Every wrong row: its turn, what was expected, what was got."""
    for shape, number, fault in outcome.wrong:
        print(f"    WRONG row {number} ({shape.name}), turn {fault.turn}: {fault.kind}")
        print(f"      expected {fault.expected}")
        print(f"      got      {fault.got}")
        print(f"      row      {json.dumps(shape.row, ensure_ascii=False)}")


def show_refused(rows: Sequence[Shape], outcome: Outcome) -> None:
    """One message of each kind of refusal."""
    if outcome.failed:
        print(f"    {outcome.failed}")
    seen = set()
    for number, (check, message) in sorted(outcome.messages.items()):
        head = message.splitlines()[0]
        if (key := (check, re.sub(r"\d+|'.*", "", head))) not in seen:
            seen.add(key)
            print(f"    {check} ({rows[number].name}): {head[:200]}")


def show_remedies(found: Mapping[str, Mapping[str, Remedy]]) -> None:
    """The options that change something for refused rows, and for how many."""
    for check, tried in found.items():
        for name, one in tried.items():
            if one.exact or one.wrong:
                counts = f"{one.exact} of {one.rows} exact, {one.wrong} wrong"
                print(f"    {check}: {name}: {counts}")


@dataclass
class Totals:
    """Counts over all templates."""

    rows: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    hows: Counter[str] = field(default_factory=Counter)
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)
    helped: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        counts = {check: len(rows) for check, rows in outcome.refused.items()}
        self.rows += Counter(
            exact=outcome.exact, refused=sum(counts.values()), wrong=len(outcome.wrong)
        )
        self.refused += Counter(counts)
        self.hows += outcome.hows
        self.kinds += Counter((fault.kind, shape.name) for shape, _, fault in outcome.wrong)

    def add_remedies(self, name: str, found: Mapping[str, Mapping[str, Remedy]]) -> None:
        for check, tried in found.items():
            for remedy, result in tried.items():
                option = re.sub("--stop .*", "--stop TOKEN", remedy)
                counts = self.helped.setdefault((check, option), Counter())
                counts += Counter(
                    templates=1, tried=result.rows, exact=result.exact, wrong=result.wrong
                )

    def show(self) -> None:
        total = sum(self.rows.values())
        parts = ", ".join(f"{self.rows[name]:,} {name}" for name in ("exact", "refused", "wrong"))
        print(f"\n{total:,} rows: {parts}")
        print("refused by: ", ", ".join(f"{k} {n:,}" for k, n in self.refused.most_common()))
        print("exact turns:", ", ".join(f"{k} {n:,}" for k, n in self.hows.most_common()))
        for (kind, shape), count in self.kinds.most_common():
            print(f"wrong: {count:5} {kind}: {shape}")
        if self.helped:
            print("\n| refused by | option | templates | rows tried | then exact | then wrong |")
            print("|---|---|---|---|---|---|")
        for (check, option), counts in sorted(self.helped.items()):
            if counts["exact"] or counts["wrong"]:
                each = (f"{counts[n]:,}" for n in ("templates", "tried", "exact", "wrong"))
                print(f"| {check} | `{option}` | {' | '.join(each)} |")
        helped = {check for (check, _), counts in self.helped.items() if counts["exact"]}
        if lost := sorted({check for check, _ in self.helped} - helped):
            print(f"no option that was tried helps: {', '.join(lost)}")


def main() -> None:
    """Judge, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--templates", nargs="*", help="names, or beginnings of names")
    parser.add_argument("--rows", type=int, default=2, help="repetitions of each shape")
    parser.add_argument("--contents", action="store_true", help="odd contents in every place too")
    parser.add_argument("--tokenizers", nargs="*", default=["own", "text"], choices=TOKENIZERS)
    parser.add_argument("--wrong", action="store_true", help="show every wrong row")
    parser.add_argument("--refused", action="store_true", help="show a message of each refusal")
    parser.add_argument("--remedies", action="store_true", help="try what may help refused rows")
    given = parser.parse_args()
    totals = Totals()
    print("| template | tokenizer | exact | refused | wrong | refused by |")
    print("|---|---|---|---|---|---|")
    for subject in subjects():
        if given.templates and not any(subject.name.startswith(one) for one in given.templates):
            continue
        rows = rows_of(subject, given.rows, given.contents)
        for kind in given.tokenizers:
            bench = Bench(subject, tokenizer_of(subject, kind))
            outcome = bench.run(rows)
            totals.add(outcome)
            print(report(subject.name, kind, outcome), flush=True)
            if given.wrong:
                show_wrong(outcome)
            if given.refused:
                show_refused(rows, outcome)
            if given.remedies and kind == "own":
                found = remedies(bench, rows, outcome, given.wrong)
                totals.add_remedies(subject.name, found)
                show_remedies(found)
    totals.show()


if __name__ == "__main__":
    main()
