"""A folder for the hub: what loads, and what the card says of rows from strangers."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import curate
from curate.base.folder import sha256
from curate.exports import parquet
from curate.exports.export import Exported
from curate.exports.markdown import fenced, inline, table
from tests.export_rows import (
    CALL,
    PLAIN,
    REASONING,
    SYSTEM,
    WEIGHTED,
    answer,
    data,
    exported,
    row,
    run,
    user,
    without_nulls,
)

PAIR = {"prompt": "Say b.", "chosen": "Bee.", "rejected": "Sea."}


def card(done: Exported) -> tuple[dict[str, Any], str]:
    """The card's YAML head, and the Markdown below."""
    _, head, text = (done.path / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head), text


def section(text: str, name: str) -> str:
    return text.split(f"\n## {name}\n")[1].split("\n## ")[0]


def test_the_code_of_the_card_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    done = exported(tmp_path, "hub", [*PLAIN, CALL, REASONING])
    (code,) = re.findall(r"```python\n(.*?)```", card(done)[1], re.DOTALL)
    monkeypatch.chdir(done.path)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(code, {})
    assert "Name number 0." in said.getvalue()
    loaded = datasets.load_dataset(str(done.path), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == ["train"] and loaded["train"].num_rows == 5


def test_only_the_shards_are_data(tmp_path: Path) -> None:
    head, _ = card(exported(tmp_path, "hub", PLAIN))
    (config,) = head["configs"]
    assert config["data_files"] == [{"split": "train", "path": ["train-00000-of-00001.parquet"]}]


def test_the_columns_hold_what_the_rows_have(tmp_path: Path) -> None:
    rows = data(exported(tmp_path, "hub", [*PLAIN, SYSTEM, CALL, WEIGHTED, REASONING]))
    assert set(rows[0]) == {"id", "messages", "tools", "source", "line"}
    assert (rows[0]["source"], rows[0]["line"], rows[4]["line"]) == ("dump.jsonl", 1, 5)
    written = [without_nulls(one["messages"]) for one in rows]
    assert written[0] == PLAIN[0]["messages"] and written[5] == WEIGHTED["messages"]
    assert written[4][1]["tool_calls"][0]["function"] == {
        "name": "weather",
        "arguments": '{"city":"Rome","days":12345678901234567890}',
    }
    assert written[4][2:] == CALL["messages"][2:] and written[6] == REASONING["messages"]
    assert json.loads(rows[4]["tools"]) == CALL["tools"] and rows[0]["tools"] is None


def test_the_published_rows_read_back_to_the_same_ids(tmp_path: Path) -> None:
    rows = [*PLAIN, SYSTEM, CALL, WEIGHTED, REASONING]
    done = exported(tmp_path, "hub", rows)
    again = curate.run(done.path / "train-00000-of-00001.parquet", steps=[])
    assert again.kept["id"].to_list() == [one["id"] for one in data(done)]


def test_scores_categories_and_rejected_answers_are_columns_where_any_row_has_them(
    tmp_path: Path,
) -> None:
    scored = {"prompt": "Say c.", "completion": "Sea.", "score": 3.5, "category": "letters"}
    rows = data(exported(tmp_path, "hub", [*PLAIN, scored, PAIR]))
    assert [one["score"] for one in rows] == [None, None, None, 3.5, None]
    assert rows[3]["category"] == "letters" and rows[0]["rejected"] is None
    assert rows[4]["rejected"] == [{"role": "assistant", "content": "Sea."}]


def test_scores_of_steps_are_written_where_a_run_has_them(tmp_path: Path) -> None:
    # The step gives no score to texts that are too short to judge.
    digits = row(user("1?"), answer("2."))
    long = row(user("Please name a nice colour."), answer("Blue is a nice colour, I think."))
    done = curate.export(
        run(tmp_path, [digits, long], ["language"]), to="hub", out=tmp_path / "DIR"
    )
    scores = [one["scores"] for one in data(done)]
    assert scores[0] == [] and scores[1][0]["step"] == "language"
    assert isinstance(scores[1][0]["score"], float)


def test_other_fields_are_counted_and_not_published(tmp_path: Path) -> None:
    private = {**PLAIN[0], "email": "me@example.org", "licence": "MIT", "origin": "letters"}
    done = exported(tmp_path, "hub", [private, *PLAIN[1:]])
    everything = (done.path / "README.md").read_text() + json.dumps(data(done))
    assert "me@example.org" not in everything
    head, text = card(done)
    assert "license" not in head  # not of all rows
    given = section(text, "Licences and sources as given")
    assert "| MIT | 1 |" in given and "| letters | 1 |" in given and "| (none) | 2 |" in given
    assert "email (1 row)" in section(text, "Known limits")
    assert any("email" in note for note in done.notes)


def test_a_licence_that_every_row_gives_is_that_of_the_set(tmp_path: Path) -> None:
    head, _ = card(exported(tmp_path, "hub", [{**one, "license": "Apache-2.0"} for one in PLAIN]))
    assert head["license"] == "apache-2.0"
    other, _ = card(
        exported(tmp_path / "b", "hub", [{**one, "license": "my own"} for one in PLAIN])
    )
    assert "license" not in other


def test_the_card_accounts_for_the_rows(tmp_path: Path) -> None:
    done = run(tmp_path, [*PLAIN, PLAIN[0], {"no": "row"}], ["exact"])
    written = curate.export(done, to="hub", out=tmp_path / "DIR")
    head, text = card(written)
    assert head["size_categories"] == ["n<1K"] and head["task_categories"] == ["text-generation"]
    assert "| exact | 4 | 1 | 0 | exact\\_duplicate 1 |" in section(text, "What was dropped")
    assert "5 read = 3 kept + 1 dropped + 1 rejects" in section(text, "What was dropped")
    digest = sha256(tmp_path / "dump.jsonl")
    assert f"| dump.jsonl | 4 | 1 | {digest} |" in section(text, "What was read")
    limits = section(text, "Known limits")
    assert "1 row could not be read" in limits and "Overlap with evaluation sets" in limits
    assert "steps" in section(text, "Recipe") and "| answers, words | 4 |" in text


def test_no_folder_of_this_machine_is_published(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("steps: [exact]\n")
    dump = tmp_path / "dump.jsonl"
    dump.write_text("".join(json.dumps(one) + "\n" for one in PLAIN))
    done = curate.run(dump, recipe=recipe, out=tmp_path / "RUN")
    written = curate.export(done, to="hub", out=tmp_path / "DIR")
    for path in written.path.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes(), path.name


def test_a_recipe_that_names_folders_is_pointed_at(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("# as in /home/me/old.yaml\nsteps: []\n")
    done = curate.run(PLAIN, recipe=recipe, out=tmp_path / "RUN")
    written = curate.export(done, to="hub", out=tmp_path / "DIR")
    assert any("names folders of this machine" in note for note in written.notes)


def test_a_large_set_is_cut_into_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "SHARD", 1)
    done = exported(tmp_path, "hub", PLAIN)
    names = [f"train-0000{n}-of-00003.parquet" for n in range(3)]
    assert sorted(path.name for path in done.path.glob("*.parquet")) == names
    (config,) = card(done)[0]["configs"]
    assert config["data_files"] == [{"split": "train", "path": names}]
    assert [without_nulls(one["messages"]) for one in data(done)] == [
        one["messages"] for one in PLAIN
    ]


HOSTILE = "a|b\n# h <img src=x onerror=1> `x` ``` [l](https://e.org) www.e.org ---"


def test_text_from_strangers_is_shown_as_it_is(tmp_path: Path) -> None:
    rows = [{**row(user("Say a."), answer("Aah.")), "source": HOSTILE, HOSTILE: 1}]
    dump = tmp_path / "a|b <i> --- ```.jsonl"
    dump.write_text("".join(json.dumps(one) + "\n" for one in rows))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("# ```\n# <script>\n# ---\nsteps: []\n")
    done = curate.run(dump, recipe=recipe, out=tmp_path / "RUN")
    head, text = card(curate.export(done, to="hub", out=tmp_path / "DIR"))
    assert list(head) == ["task_categories", "tags", "size_categories", "configs"]
    outside = re.sub(r"(?ms)^(`{3,})\w*\n.*?^\1$", "", text)
    assert "<img" not in outside and "<i>" not in outside and "<script" not in outside
    assert "https://" not in outside and not re.search(r"(?<!\\)\]\(", outside)
    assert r"a\|b" in section(outside, "What was read")
    assert "````yaml" in text  # longer than the fence in the recipe


def test_a_cell_holds_one_line_and_no_other_cell() -> None:
    lines = table(("name", "rows"), [("a|b\nc", 1_000)]).splitlines()
    assert lines == ["| name | rows |", "|---|---|", r"| a\|b c | 1,000 |"]


@pytest.mark.parametrize("text", ["# a", "- a", "+ a", "1. a", "*a*", "_a_", "~~a~~", "$a$", "@a"])
def test_a_line_is_no_markup(text: str) -> None:
    assert "\\" in inline(text)


def test_a_fence_is_longer_than_any_in_it() -> None:
    assert fenced("a\n`````\nb", "yaml").splitlines()[0] == "``````yaml"


def test_the_hub_takes_no_model(tmp_path: Path) -> None:
    with pytest.raises(curate.CurateError, match="hub takes no model"):
        exported(tmp_path, "hub", PLAIN, model="m/m")


def test_languages_are_measured_on_the_rows_of_the_set(tmp_path: Path) -> None:
    english = [row(user(f"Please name a colour, {n}."), answer("Blue is a nice colour, I think."))
               for n in range(4)]  # fmt: skip
    measured, text = card(exported(tmp_path, "hub", english))
    assert measured["language"] == ["en"] and "Detected on 4 of 4 rows" in text
    german = row(user("Was ist die Hauptstadt von Frankreich, bitte sehr?"),
                 answer("Das ist natürlich die schöne Stadt Paris an der Seine."))  # fmt: skip

    def not_german(record: dict[str, Any]) -> bool:
        return "Stadt" not in record["response"]

    done = run(tmp_path / "b", [*english, german], ["language", not_german])
    head, text = card(curate.export(done, to="hub", out=tmp_path / "b" / "DIR"))
    assert head["language"] == ["en"] and "| de |" not in text
