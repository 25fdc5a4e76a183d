"""Previews show what is in the ids and labels, in every format."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from curate.base.errors import CurateError
from templates import PreviewOptions, load_tokenizer, preview, write
from templates.previews.parts import trained_runs
from templates.template import TEMPLATES, load_template
from tests.templates_toys import (
    CHATML,
    byte_level,
    metaspace,
    records,
    rendered,
    talk,
    template,
)

ROWS = [
    talk("hi there", "ok\n 😀"),
    talk("hi", ""),
    [{"role": "system", "content": "<b>&"}, *talk("<|im_end|>", "a", "b", "c")],
]


def shown(source: Any = None, **options: Any) -> str:
    options.setdefault("format", "text")
    given = records(*ROWS) if source is None else source
    return preview(given, template(CHATML), byte_level(), PreviewOptions(**options))


def test_plain_text_shows_tokens_white_space_masks_and_stops() -> None:
    page = shown()
    assert "row 0" in page and "1 turn trained with its stop" in page
    assert re.search(r"template │<\|im_start\|>¦u.*⏎", page)
    assert "0 user │" in page and "1 assistant │[" in page
    assert "stop │{<|im_end|>}" in page
    assert "⏎" in page and "·" in page
    assert "\x1b" not in page


def test_colour_is_used_only_when_asked_and_never_with_no_color(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "\x1b[38;5;255;48;5;22" in shown(format="ansi", color=True)
    assert "\x1b" not in shown(format="ansi", color=False)
    assert "\x1b" not in shown(format="ansi")  # not a terminal
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert "\x1b" in shown(format="ansi")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in shown(format="ansi")


def test_json_holds_every_token_with_kind_and_source() -> None:
    data = json.loads(shown(format="json", rows=(2, 0)))
    done = rendered(CHATML, byte_level(), *ROWS)
    first, second = data["rows"]
    assert (first["row"], second["row"]) == (2, 0)
    assert [part["id"] for part in second["parts"]] == done.examples["input_ids"][0].to_list()
    kinds = "".join(
        part["kind"][0] for part in first["parts"] if part["message"] == 2 or part["trained"]
    )
    assert kinds.startswith("a") and kinds.count("s") == 2
    text = "".join(part["text"] for part in first["parts"] if part["kind"] == "context")
    assert text == "<b>&<|im_end|>b"
    assert {part["message"] for part in first["parts"] if part["trained"]} == {2, 4}
    assert first["runs"].count("-100") == 3
    assert data["statistics"]["rows"] == 3 and data["statistics"]["refused_by_check"] == {
        "empty": 1
    }
    assert data["card"]["generation_prompt"] == "honoured"
    assert "failures" not in data


def test_parts_of_a_character_are_shown_as_bytes() -> None:
    page = shown(ids=True)
    assert re.search(r"\\xf0.*\\x80|😀", page)
    number = byte_level().controls["<|im_end|>"].id
    assert f"<|im_end|>‹{number}›" in page


def test_refused_rows_say_why_alone_and_in_the_list_of_failures() -> None:
    assert "row 1" in shown(rows=(1,)) and "message 1: the answer is empty" in shown(rows=(1,))
    page = shown(failures=True)
    assert "1 refused rows" in page and "refused by empty" in page
    assert len(json.loads(shown(format="json", failures=True))["failures"]) == 1


def test_a_row_that_is_not_there_is_an_error() -> None:
    with pytest.raises(CurateError, match="row 7: there is no such row; there are 3 rows"):
        shown(rows=(7,))
    with pytest.raises(CurateError, match="records need a template"):
        preview(records(*ROWS), None, byte_level())
    with pytest.raises(CurateError, match="expected one of ansi, text, html, json"):
        PreviewOptions(format="pdf")  # type: ignore[arg-type]


def test_the_page_is_whole_and_escapes_what_it_shows() -> None:
    page = shown(format="html", rows=(2, 1), failures=True, ids=True)
    assert page.startswith("<!doctype html>") and page.endswith("</html>\n")
    assert "<b>" not in page and "&lt;" in page and "&amp;" in page
    assert "http://" not in page and "https://" not in page and "<script" not in page
    assert 'class="t answer"' in page and 'class="t stop"' in page
    assert "the answer is empty" in page and "Template card" in page
    assert page == shown(format="html", rows=(2, 1), failures=True, ids=True)


def test_without_a_tokenizer_texts_and_spans_are_shown() -> None:
    chatml = load_template("chatml", None)
    page = preview(records(*ROWS), chatml, None, PreviewOptions(format="text", failures=True))
    assert "1 assistant │[ok⏎" in page and "stop │{<|im_end|>}" in page
    assert "characters" in page and "texts only" in page and "1 refused rows" in page
    data = json.loads(preview(records(*ROWS), chatml, None, PreviewOptions(format="json")))
    parts = data["rows"][0]["parts"]
    assert {part["id"] for part in parts} == {None}
    assert "".join(part["text"] for part in parts if part["trained"]) == "ok\n 😀<|im_end|>"
    with pytest.raises(CurateError, match="--tokenizer"):
        preview(records(*ROWS), load_template("vicuna", None), None)


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("tokenizer", [byte_level, metaspace])
def test_preview_and_written_dataset_show_the_same_mask(
    tmp_path: Path, name: str, tokenizer: Any
) -> None:
    pytest.importorskip("datasets")
    chosen = load_template(name, None)
    rows = [talk("hi", "ok 😀\n", "so <|im_start|>", "fine"), talk("hi", "")]
    folder = write(rendered(chosen, tokenizer(), *rows), tmp_path / "tokens")
    asked = PreviewOptions(format="json", rows=(0, 1))
    live = json.loads(preview(records(*rows), chosen, tokenizer(), asked))
    written = json.loads(preview(folder, None, tokenizer(), asked))
    for one, two in zip(live["rows"], written["rows"], strict=True):
        keys = ("text", "id", "trained")
        assert [[part[key] for key in keys] for part in one["parts"]] == [
            [part[key] for key in keys] for part in two["parts"]
        ]
        assert (one["runs"], one["check"]) == (two["runs"], two["check"])
        stops = [[part["kind"] == "stop" for part in row["parts"]] for row in (one, two)]
        assert stops[0] == stops[1]


def test_a_written_dataset_is_shown_with_the_tokenizer_it_was_made_with(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    folder = write(rendered(CHATML, byte_level(), *ROWS), tmp_path / "tokens")
    with pytest.raises(CurateError, match="written with another tokenizer"):
        preview(folder, None, metaspace(), PreviewOptions())
    with pytest.raises(CurateError, match=r"row 9: .* has no such row"):
        preview(folder, None, byte_level(), PreviewOptions(rows=(9,)))
    page = preview(folder, None, byte_level(), PreviewOptions(rows=(1,), failures=True))
    assert "the answer is empty" in page and "read from its files" in page


def test_a_character_of_several_tokens_is_read_where_it_is_whole() -> None:
    page = shown().replace("¦", "")
    assert "😀" in page and "\\xf0" not in page and "‥" in page
    parts = json.loads(shown(format="json"))["rows"][0]["parts"]
    assert any("\\x" in part["text"] for part in parts)  # machines get the bytes


def test_the_examples_that_one_row_became_are_numbered(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    thinking = load_template("qwen-thinking", None)
    rows = (talk("a", "one", "b", "two"), talk("c", "three"))
    made = preview(records(*rows), thinking, byte_level(), PreviewOptions(format="text"))
    folder = write(rendered(thinking, byte_level(), *rows), tmp_path / "tokens")
    written = preview(folder, None, byte_level(), PreviewOptions(format="text"))
    for page in (made, written):
        assert "row 0, example 1 of 2  id" in page and "row 0, example 2 of 2  id" in page
        assert re.search(r"rows +2\n +examples +3\n", page)
    assert "message 1 │[" in written and "message 3 │[" in written
    assert "verdict            safe for plain conversations" in written
    assert "masked: read and never learnt" in written and "template, context: masked" in made


def test_one_message_of_a_row_is_shown_on_request() -> None:
    page = shown(rows=(2,), turn=4)
    body = page.partition("legend")[2].partition("statistics")[0]
    assert "4 assistant │[c]" in body and "2 assistant" not in body and "system" not in body
    with pytest.raises(CurateError, match=r"turn 9: .*; row 0 has 2 messages, turns 0 to 1$"):
        shown(turn=9)


def test_a_message_that_a_written_row_does_not_have_is_said(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    folder = write(rendered(CHATML, byte_level(), *ROWS), tmp_path / "tokens")
    with pytest.raises(CurateError, match=r"turn 9: .*; in row 0 turns 1 are known$"):
        preview(folder, None, byte_level(), PreviewOptions(turn=9))


def test_tokens_whose_tokenizer_is_not_there_as_seen_from_here_name_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datasets")
    monkeypatch.chdir(tmp_path)
    place = Path("models", "toy")
    place.mkdir(parents=True)
    (place / "tokenizer.json").write_text(byte_level().backend.to_str())
    folder = write(rendered(CHATML, load_tokenizer("models/toy"), *ROWS), tmp_path / "tokens")
    assert "row 0" in preview(folder, None, None, PreviewOptions(format="text"))
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    message = "made with the tokenizer in the folder models/toy, which is not there as seen from"
    with pytest.raises(CurateError, match=f"tokens: {message} here; name it with tokenizer$"):
        preview(folder, None, None, PreviewOptions())


def test_runs_of_trained_labels_are_found() -> None:
    assert trained_runs([-100, 5, 6, -100, 7]) == [(1, 3), (4, 5)]
    assert trained_runs([-100]) == [] and trained_runs([3]) == [(0, 1)]


def test_two_templates_are_compared_line_by_line_with_their_masks() -> None:
    other = load_template("vicuna", None)
    made = preview(
        records(*ROWS),
        template(CHATML),
        byte_level(),
        PreviewOptions(format="text", rows=(0, 1)),
        (other, byte_level()),
    )
    lines = made.splitlines()
    assert "- toy with byte-level" in lines and "+ vicuna with byte-level" in lines
    assert "-[ok" in lines and "- 😀]{<|im_end|>}" in lines and "+ 😀]{<|eos|>}" in lines
    assert "row 1: refused by empty | refused by empty" in lines
    assert "  the same text and the same mask" in lines


def test_two_tokenizers_are_compared_by_their_tokens() -> None:
    page = preview(
        records(*ROWS),
        load_template("simple", None),
        byte_level(),
        PreviewOptions(format="html"),
        (load_template("simple", None), metaspace()),
    )
    assert "<h2>Difference</h2>" in page and '<span class="come">' in page
    found = re.search(r"row 0: (\d+) tokens, \d+ trained \| (\d+) tokens", page)
    assert found is not None and found[1] != found[2]


def test_figures_say_how_many_turns_and_stops_are_trained_and_what_was_split_or_cut() -> None:
    figures = json.loads(shown(format="json"))["statistics"]
    assert figures["trained_turns"] == figures["trained_stops"] == 3
    assert (figures["split"], figures["truncated"], figures["refused"]) == (0, 0, 1)


def test_a_written_folder_is_compared_with_nothing(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    folder = write(rendered(CHATML, byte_level(), ROWS[0]), tmp_path / "tokens")
    with pytest.raises(CurateError, match="shown as it is"):
        preview(folder, None, None, PreviewOptions(), (template(CHATML), byte_level()))
