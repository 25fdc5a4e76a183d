"""Masks against an oracle that knows nothing of `templates`: no row is wrong, many are exact.

`benchmarks/masks.py` judges every template we have with several tokenizers; here are the ones that
differ most, and `make slow` runs them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from curate.base.extras import missing
from templates import TEMPLATES
from tests.test_figures import loaded

if absent := missing("transformers", "trl"):
    pytest.skip(f"the oracle needs {', '.join(absent)}", allow_module_level=True)

# Template and tokenizer, and of its rows how many are exact at least.
JUDGED = [
    ("chatml", "text", 0.45),
    ("llama3", "other", 0.45),
    ("mistral", "pieces", 0.65),
    ("gpt-oss", "own", 0.85),
    ("qwen-thinking", "own", 0.85),
    ("trl/gemma4", "own", 0.4),
    ("trl/glm4moe", "own", 0.0),
    ("odd/own end of a call unlike its end in the whole", "own", 0.4),
    ("odd/another tail after the last answer", "own", 0.0),
    ("odd/capitals", "own", 0.0),
    ("odd/history loses reasoning", "own", 0.85),
    ("named/tool_use with another stop", "own", 0.7),
]


# Templates that take long, or whose many refusals do: each shape once.
SLOW = ("trl/gemma4", "trl/glm4moe", "odd/capitals", "odd/another tail after the last answer")


@pytest.fixture(scope="module")
def masks() -> Iterator[ModuleType]:
    yield from loaded("masks")


def judged(
    masks: ModuleType, name: str, kind: str, repetitions: int = 2, contents: bool = False
) -> tuple[Any, Any, Any]:
    """Bench, rows and outcome of one template with one tokenizer."""
    subject = next(one for one in masks.subjects() if one.name == name)
    rows = masks.rows_of(subject, repetitions, contents)
    bench = masks.Bench(subject, masks.tokenizer_of(subject, kind))
    return bench, rows, bench.run(rows)


def shown(outcome: Any) -> list[str]:
    return [
        f"{shape.name}, message {fault.turn}: {fault.kind}: {fault.expected!r}, {fault.got!r}"
        for shape, _, fault in outcome.wrong
    ]


@pytest.mark.parametrize(("name", "kind", "share"), JUDGED)
def test_no_row_is_trained_otherwise_than_it_is_generated(
    masks: ModuleType, name: str, kind: str, share: float
) -> None:
    _, rows, outcome = judged(masks, name, kind, 1 if name in SLOW else 2)
    assert shown(outcome) == []
    assert outcome.exact >= share * len(rows)
    assert outcome.exact + sum(map(len, outcome.refused.values())) == len(rows)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["own", "text"])
def test_no_template_is_wrong_on_any_row(masks: ModuleType, kind: str) -> None:
    """All templates with their tokens, bundled ones also with none; the script tries more."""
    wrong = {}
    for subject in masks.subjects():
        is_bundled = subject.name in TEMPLATES
        if kind == "text" and not is_bundled:
            continue
        # From the third row of a shape on the fast path proves it.
        _, _, outcome = judged(masks, subject.name, kind, 3 if is_bundled else 1)
        if outcome.wrong:
            wrong[subject.name] = shown(outcome)
    assert wrong == {}


# The oracle itself: it sees what is wrong with an example.


def _ends_early(example: dict[str, Any]) -> None:
    last = max(at for at, label in enumerate(example["labels"]) if label != -100)
    example["labels"][last] = -100


def _ends_late(example: dict[str, Any]) -> None:
    last = max(at for at, label in enumerate(example["labels"]) if label != -100)
    example["labels"][last + 1] = example["ids"][last + 1]


def _starts_early(example: dict[str, Any]) -> None:
    first = min(at for at, label in enumerate(example["labels"]) if label != -100)
    example["labels"][first - 1] = example["ids"][first - 1]


def _starts_late(example: dict[str, Any]) -> None:
    first = min(at for at, label in enumerate(example["labels"]) if label != -100)
    example["labels"][first] = -100


def _is_shifted(example: dict[str, Any]) -> None:
    example["labels"] = [*example["labels"][1:], -100]


def _has_another_prompt(example: dict[str, Any]) -> None:
    example["ids"][1] += 1


def _has_a_hole(example: dict[str, Any]) -> None:
    first = min(at for at, label in enumerate(example["labels"]) if label != -100)
    example["labels"][first + 1] = -100


def _lacks_a_turn(example: dict[str, Any]) -> None:
    example["turns"] = example["turns"][:-1]


def _has_a_turn_of_the_user(example: dict[str, Any]) -> None:
    example["turns"] = [0, *example["turns"]]


FAULTS = {
    _ends_early: "other labels",
    _ends_late: "something else is trained after the answer",
    _starts_early: "something else is trained before the answer",
    _starts_late: "other labels",
    _is_shifted: "something else is trained before the answer",
    _has_another_prompt: "other ids before the answer",
    _has_a_hole: "other labels",
    _lacks_a_turn: "a turn is not trained once",
    _has_a_turn_of_the_user: "a turn is trained that must not be",
}


NAMES = [spoil.__name__ for spoil in FAULTS]


@pytest.fixture(scope="module")
def exact(masks: ModuleType) -> tuple[Any, dict[str, Any]]:
    """A conversation as the oracle sees it, and the example that is right for it."""
    subject = next(one for one in masks.subjects() if one.name == "chatml")
    tokenizer = masks.tokenizer_of(subject, "own")
    bench = masks.Bench(subject, tokenizer)
    asked, told = {"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes, hi!"}
    row = {"messages": [asked, told]}
    stop = masks.Stop("<|im_end|>", bench.ids.controls["<|im_end|>"])
    one = masks.Conversation(bench.renders, bench.ids, row, [stop], masks.Options(), "<|im_end|>")
    text = "<|im_start|>user\nHi?<|im_end|>\n<|im_start|>assistant\n"
    prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
    answer = tokenizer("Yes, hi!<|im_end|>", add_special_tokens=False)["input_ids"]
    after = tokenizer("\n", add_special_tokens=False)["input_ids"]
    labels = [-100] * len(prompt) + answer + [-100] * len(after)
    return one, {"ids": prompt + answer + after, "labels": labels, "turns": [1]}


def test_the_oracle_takes_the_example_that_is_right(
    masks: ModuleType, exact: tuple[Any, dict[str, Any]]
) -> None:
    conversation, example = exact
    assert masks.judge(conversation, [masks.Example(**example)]) == {"own": 1}


@pytest.mark.parametrize(
    ("spoil", "kind"), FAULTS.items(), ids=[spoil.__name__ for spoil in FAULTS]
)
def test_the_oracle_sees_each_fault(
    masks: ModuleType,
    exact: tuple[Any, dict[str, Any]],
    spoil: Callable[[dict[str, Any]], None],
    kind: str,
) -> None:
    conversation, right = exact
    example = {name: list(value) for name, value in right.items()}
    spoil(example)
    with pytest.raises(masks.Fault) as fault:
        masks.judge(conversation, [masks.Example(**example)])
    assert fault.value.kind == kind


@pytest.mark.slow
def test_an_option_that_helps_refused_rows_is_found(masks: ModuleType) -> None:
    bench, rows, outcome = judged(masks, "trl/glm4moe", "own", 1)
    found = masks.remedies(bench, rows, outcome)["stop_not_at_end"]
    assert found["--append-eos"].exact > 0.9 * found["--append-eos"].rows
    assert found["--mask operational"].exact == 0
