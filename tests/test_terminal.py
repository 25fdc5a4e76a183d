"""What strangers wrote is seen as text: on a terminal, in a log, on a page."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from curate.base import terminal
from curate.base.terminal import printable, printable_json, printable_line
from curate.cli import main

# A character of each kind that acts, turns text around, or has no shape.
ACTING = "\x00\x07\x08\r\x1b[2J\x1b]0;t\x07\x7f\x85\x9b31m"
TURNING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
HIDING = "\xad\u200b\u2060\u2063\ufeff\u3164\U000e0001\U000e0041\U000e007f\U000e0101\u2028\u2029"
EVIL = f"x{ACTING}{TURNING}{HIDING}y\u200dz"
# In names of files and in arguments: no null, and no half characters of ours.
NAME = EVIL.replace("\x00", "")
UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff"
    r"\ud800-\udfff\U000e0000-\U000e0fff]"
)
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.mark.parametrize("text", [EVIL, "\ud800", "a\u200cb", "\u200d", "\u0645\u200c "])
def test_no_character_acts_turns_or_hides(text: str) -> None:
    assert not UNSEEN.search(printable(text))
    assert not UNSEEN.search(printable_line(text))
    printable(text).encode()


@pytest.mark.parametrize(
    "text",
    [
        "\u0645\u06cc\u200c\u062e",
        "\U0001f469\u200d\U0001f680",
        "\u0915\u094d\u200d\u0937",
        "東京\n\tב",
    ],
)
def test_text_that_is_written_so_stays(text: str) -> None:
    assert printable(text) == text


def test_each_character_is_spelt_as_python_reads_it() -> None:
    assert printable("\x1b\u202e\U000e0041") == r"\x1b\u202e\U000e0041"


def test_json_means_the_same() -> None:
    content = {EVIL: [EVIL, "\ud800"]}
    shown = printable_json(json.dumps(content, ensure_ascii=False))
    assert not UNSEEN.search(shown)
    assert json.loads(shown) == content


def test_a_stream_of_few_letters_takes_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    class Latin:
        encoding = "ascii"
        written = ""

        def write(self, text: str) -> None:
            text.encode("ascii")
            self.written += text

        def flush(self) -> None:
            """Nothing waits."""

    stream, before = Latin(), sys.stdout
    sys.stdout = stream  # type: ignore[assignment]
    try:
        terminal.show("東京")
    finally:
        sys.stdout = before
    assert stream.written == "\\u6771\\u4eac\n"


def test_no_line_of_a_stranger_looks_like_an_error_of_ours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal.complain("bad.jsonl\ncurate: all is well")
    assert capsys.readouterr().err == "curate: bad.jsonl\n  curate: all is well\n"


def test_colours_of_ours_are_all_that_a_styled_text_keeps(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal.show_styled("\x1b[1mbold\x1b[0m\x1b[2J\x1b]0;title\x07\u202e")
    assert capsys.readouterr().out == ("\x1b[1mbold\x1b[0m\\x1b[2J\\x1b]0;title\\x07\\u202e\n")


FILTER = f"""
def picky(record):
    return {EVIL!r} if "bad" in record['response'] else True
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a file with such a name, of rows, fields, ids and reasons with such characters."""
    folder = tmp_path_factory.mktemp("evil")
    rows = [
        {"instruction": f"q{n} {EVIL}", "output": f"a {'bad' * (n % 2)} {EVIL}", EVIL: EVIL * 2}
        for n in range(6)
    ]
    rows = [{**row, "category": EVIL} for row in rows]
    lines = [json.dumps(row) for row in rows] + [f'{{"broken {NAME}', json.dumps({EVIL: 1})]
    (folder / f"d{NAME}.jsonl").write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    (folder / "mine.py").write_text(FILTER, "utf-8")
    recipe = folder / f"r{NAME}.yaml"
    recipe.write_text("steps:\n- mine.py:picky\n- near\n", "utf-8")
    out = folder / "RUN"
    dump = str(folder / f"d{NAME}.jsonl")
    assert main(["run", dump, "--recipe", str(recipe), "--out", str(out)]) == 0
    assert (out / "manifest.json").is_file()
    return out


def seen(capsys: pytest.CaptureFixture[str], *given: str) -> str:
    """All that a command prints. Nothing in it may act, turn or hide."""
    try:
        main(list(given))
    except SystemExit as stop:
        assert stop.code == 2
    printed = capsys.readouterr()
    assert not (found := UNSEEN.findall(printed.out + printed.err)), (given, found)
    return printed.out + printed.err


@pytest.mark.parametrize(
    "given",
    [
        ("report", "RUN"),
        ("explain", "RUN", "0"),
        ("explain", "RUN", "1"),
        ("explain", "RUN", "--grep", EVIL.replace("\x00", "")),
        ("explain", "RUN", "--grep", "q"),
        ("explain", "RUN", "--step", "picky"),
        ("explain", "RUN", "--reason", "xx"),
        ("explain", "RUN", NAME),
        ("diff", "RUN", "RUN"),
        ("diff", "RUN", "RUN", "--json"),
        ("inspect", "DUMP"),
        ("inspect", "DUMP", "--json"),
        ("run", "DUMP", "--out", "AGAIN", "--recipe", "RECIPE"),
        ("run", "DUMP", "--out", f"new{NAME}", "--set", f"{NAME}.x=1"),
        ("run", NAME, "--out", "AGAIN"),
        ("run", "DUMP", "--out", "AGAIN", "--recipe", NAME),
        ("run", "DUMP", "--out", "AGAIN", "--format", NAME),
        ("run", "DUMP", "--out", "AGAIN", "--map", f"{NAME}={NAME}"),
        ("run", "DUMP", "--out", "AGAIN", NAME.join(["--x", "y"])),
        (NAME,),
        ("run", f"--{NAME}"),
        ("pairs", "DUMP", "--from", NAME, "--out", "P"),
        ("chat", "x", "--seed", NAME),
        ("train", NAME, "--model", NAME, "--out", "C"),
        ("train", NAME, "--model", NAME, "--out", "C", "--set", f"{NAME}=1"),
        ("export", "RUN", "--to", NAME, "--out", "E"),
        ("filters", NAME),
        ("templates", "--check", NAME),
        ("templates", "--check", "TEMPLATE"),
        ("preview", "RUN", "--template", "TEMPLATE"),
        ("preview", "RUN", "--template", "TEMPLATE", "--json"),
        ("preview", "RUN", "--template", "TEMPLATE", "--html", "PAGE"),
        ("preview", "RUN", "--template", "TEMPLATE", "--diff", "chatml"),
        ("preview", "RUN", "--template", NAME),
        ("preview", "DUMP", "--template", "TEMPLATE", "--failures"),
        ("judge", "check", "RUN", "--labels", NAME),
        ("judge", "rubrics", NAME),
    ],
    ids=range(37),
)
def test_what_a_command_prints_of_strangers_is_spelt_out(
    run: Path, given: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"t{NAME}.jinja").write_text(TEMPLATE + NAME, "utf-8")
    places = {
        "RUN": str(run),
        "DUMP": str(run.parent / f"d{NAME}.jsonl"),
        "RECIPE": str(run.parent / f"r{NAME}.yaml"),
        "TEMPLATE": str(tmp_path / f"t{NAME}.jinja"),
        "PAGE": str(tmp_path / "page.html"),
    }
    seen(capsys, *(places.get(word, word) for word in given))


class Parsed(HTMLParser):
    """What could act on a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.acting: list[str] = []
        self.policy = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        self.tags.add(tag)
        given = dict(attrs)
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""
        for name, value in attrs:
            outside = name in ("href", "src", "xlink:href", "action", "srcdoc", "data")
            if name.startswith("on") or (outside and not (value or "").startswith("#")):
                self.acting.append(f"{tag} {name}={value}")


@pytest.mark.parametrize("style", ["report", "preview", "diff", "failures"])
def test_every_page_has_the_policy_and_nothing_that_acts(
    run: Path, style: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = run / "report.html"
    if style != "report":
        page, template = tmp_path / "page.html", tmp_path / f"<b onload=x>{NAME}.jinja"
        template.write_text(TEMPLATE.replace("</s>", "<script>alert(1)</script>"), "utf-8")
        more = {"preview": [], "diff": ["--diff", "chatml"], "failures": ["--failures"]}[style]
        asked = ["preview", str(run), "--template", str(template), "--html", str(page), *more]
        assert main(asked) == 0
    text = page.read_text("utf-8")
    assert not UNSEEN.search(text)
    shown = Parsed(text)
    assert shown.policy == (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    )
    assert not shown.acting
    assert not shown.tags & {"script", "iframe", "object", "embed", "link", "base", "form", "img"}
    assert "@import" not in text
    assert "javascript:" not in text
