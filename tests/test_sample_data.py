"""The sample data is what its scripts write, shows every fault it should, and stays small."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from curate import sources
from curate.cli import main
from curate.pipeline import recipe
from curate.sources.shared.convert import REJECTS
from filters.quality.filter import Quality

SAMPLE = Path(__file__).parent.parent / "sample_data"
needs_train = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs the train extra"
)


def packed_or_not(path: Path) -> bytes:
    """The bytes inside: another build of zlib may pack the same bytes differently."""
    data = path.read_bytes()
    # Not gzip.decompress: one archive breaks off, on purpose.
    return zlib.decompressobj(wbits=31).decompress(data) if path.suffix == ".gz" else data


def test_the_script_writes_the_committed_dump_again(tmp_path: Path) -> None:
    script = SAMPLE / "make_raw.py"
    subprocess.run([sys.executable, script, "--out", tmp_path], check=True, capture_output=True)
    committed = {path.name: packed_or_not(path) for path in (SAMPLE / "raw").iterdir()}
    assert {path.name: packed_or_not(path) for path in tmp_path.iterdir()} == committed


def test_the_script_writes_the_committed_preferences_again(tmp_path: Path) -> None:
    script = SAMPLE / "make_preferences.py"
    subprocess.run([sys.executable, script, "--out", tmp_path], check=True, capture_output=True)
    committed = {path.name: path.read_bytes() for path in (SAMPLE / "preferences").iterdir()}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == committed
    assert set(committed) == {"votes.jsonl", "annotators.jsonl"}


def test_the_dump_has_300_to_500_rows_in_six_formats() -> None:
    dump = sources.read([str(SAMPLE / "raw")])
    formats = {name for report in dump.files for name in report.formats}
    assert formats == {"alpaca", "dolly", "messages", "oasst", "prompt-completion", "sharegpt"}
    assert 300 <= dump.read <= 500


def test_the_dump_has_a_reject_of_every_kind() -> None:
    reasons = sources.read([str(SAMPLE / "raw")]).rejects["reason"]
    # Of exports of chats, of labelled answers and of other programs' messages: see test_sources.
    # The dump has no YAML either.
    elsewhere = {"several_people", "undesirable", "no_text", "partial_loss", "invalid_yaml"}
    assert set(reasons.str.split(": ").list.first()) == set(REJECTS) - elsewhere


def test_equal_conversations_occur_in_files_of_different_formats() -> None:
    records = sources.read([str(SAMPLE / "raw")]).records
    assert (records.group_by("id").n_unique()["source"] > 1).sum() >= 5


def test_the_recipe_gives_the_expected_funnel(tmp_path: Path) -> None:
    expected = json.loads((SAMPLE / "expected_funnel.json").read_text(encoding="utf-8"))
    assert funnel_of(tmp_path) == expected


def funnel_of(out: Path) -> dict[str, Any]:
    steps = str(SAMPLE / "recipe.yaml")
    assert main(["run", str(SAMPLE / "raw"), "--recipe", steps, "--out", str(out / "run")]) == 0
    manifest = json.loads((out / "run" / "manifest.json").read_text(encoding="utf-8"))
    lines = (out / "run" / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    slugs = Counter(json.loads(line)["reason"].split(": ")[0] for line in lines)
    columns = ("name", "rows", "dropped", "reasons")
    return {
        **{name: manifest["counts"][name] for name in ("read", "kept", "dropped", "rejects")},
        "steps": [{name: step[name] for name in columns} for step in manifest["steps"]],
        "reject_reasons": slugs,
    }


def test_every_reason_that_the_recipe_can_give_occurs() -> None:
    expected = json.loads((SAMPLE / "expected_funnel.json").read_text(encoding="utf-8"))
    given = {reason for step in expected["steps"] for reason in step["reasons"]}
    steps = recipe.load(str(SAMPLE / "recipe.yaml")).steps
    known = {(step.action.name, reason) for step in steps for reason in step.action.reasons}
    (quality,) = (step.action for step in steps if isinstance(step.action, Quality))
    notes = {slug for slug in quality.reasons if quality.acts(slug) != "drop"}
    assert {(name, reason) for name, reason in known if reason not in given} == {
        *(("quality", slug) for slug in notes),  # the row stays
        ("exact", "repeated_answer"),  # no answer stands under fifty prompts
        ("near", "already_curated"),  # the recipe names no index of earlier runs
        ("language", "language_mixed"),  # leaves `mixing` off
        ("length", "short_for_task"),  # does not trim
        ("length", "long_for_task"),
        ("length", "over_represented"),  # nor match lengths
        ("reward", "not_scorable"),  # and has no reward model
        ("reward", "not_best_of_prompt"),  # nor several answers a prompt
        ("reward", "no_clear_winner"),
        ("reward", "not_best_graded"),  # nor a judge
        ("select", "too_similar"),  # selects by score alone
        ("select", "no_vector"),
        ("select", "no_tags"),
    }


def test_the_sample_data_stays_under_6_megabytes_and_the_model_under_4() -> None:
    def size(folder: Path) -> int:
        files = [path for path in folder.rglob("*") if "__pycache__" not in path.parts]
        return sum(path.stat().st_size for path in files if path.is_file())

    assert size(SAMPLE / "tiny-base") <= 4_000_000
    assert size(SAMPLE) <= 6_000_000


@needs_train
def test_the_tiny_base_loads_and_knows_its_town() -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(SAMPLE / "tiny-base")
    model = AutoModelForCausalLM.from_pretrained(SAMPLE / "tiny-base")
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer("The bakery is")["input_ids"]]])
    said = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False
    )
    assert "Mill Lane" in tokenizer.decode(said[0])


@needs_train
def test_the_tokenizer_has_one_id_for_each_chat_token_and_a_chat_template() -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(SAMPLE / "tiny-base")
    messages = [{"role": "user", "content": "Hi\n  there"}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>user\nHi\n  there<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert [tokenizer.decode([i]) for i in ids if i < 3].count("<|im_start|>") == 2


def test_no_question_of_the_dump_is_answered_in_the_prose_that_the_base_model_read() -> None:
    script = (
        "import sys; from itertools import islice; from plain_text import documents\n"
        "prose = list(islice(documents(7), 5000))\n"
        "import questions as q\n"
        "rows = q.written('questions') + q.written('chats') + list(q.short_facts())\n"
        "pairs = [pair for row in rows for pair in row.turns]\n"
        "both = [pair for pair in pairs for text in prose if pair[0] in text and pair[1] in text]\n"
        "sys.exit(len(both))"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=SAMPLE, check=False).returncode == 0
