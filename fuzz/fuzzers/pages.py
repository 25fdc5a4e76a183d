"""Pages about rows with hostile text in every field: they hold what pages about plain rows hold."""

from __future__ import annotations

import json
import random
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from fuzz.command import check_said, command
from fuzz.contract import Case, Fault, Fuzzer
from fuzz.values import text

PLANT = "zqplant"
HOSTILE = (
    *(f"<script>{PLANT}()</script>", f"</script><script>{PLANT}()</script>", f"<{PLANT}>"),
    *(f"<img src=x onerror={PLANT}()>", f'" onmouseover={PLANT} x="', f"' onfocus='{PLANT}' a='"),
    *(
        f"<style>@import '{PLANT}'</style>",
        f"</style><style>{PLANT}",
        f"<a href=javascript:{PLANT}>",
    ),
    *(
        f"<!-- {PLANT}",
        f"--><{PLANT}>",
        f"</title><{PLANT}>",
        f"</textarea><{PLANT}>",
        "]]>" + PLANT,
    ),
    *(
        f"<svg onload={PLANT}>",
        f"<iframe srcdoc='{PLANT}'>",
        f"<base href=//{PLANT}>",
        f"&lt;{PLANT}&gt;",
    ),
    *(f"<meta http-equiv=refresh content='0;//{PLANT}'>", f"<link rel=stylesheet href=//{PLANT}>"),
    *(
        f"\x00<{PLANT}>",
        f"<\x00script>{PLANT}",
        f"\u2028<{PLANT}>",
        f"{{{{ {PLANT} }}}}",
        f"{{% {PLANT} %}}",
    ),
)
LOADS = ("src", "href", "xlink:href", "action", "formaction", "data", "srcset", "poster")
RECIPES = (
    "steps: [exact, near, quality, {length: {action: cap}}]",
    "steps: [exact, language, bias, {length: {min: 20}}]",
    "steps: [unwrap_prompt, {select: {budget: 2}}]",
)


class Shape(HTMLParser):
    """What a page is made of; texts and values of attributes do not count."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: set[str] = set()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.loads: list[str] = []
        self.styles: list[str] = []
        self.other: list[str] = []
        self.policy = ""
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        self.tags.add(tag)
        self._inside = tag if tag in ("script", "style") else ""
        for name, value in attrs:
            self.attributes.add(name)
            if name in LOADS:
                self.loads.append(value or "")
            if name == "style":
                self.styles.append(value or "")
        given = dict(attrs)
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given.get("content") or ""

    def handle_data(self, data: str) -> None:
        """See `HTMLParser`."""
        if self._inside:
            self.scripts.add(data)

    def handle_endtag(self, tag: str) -> None:
        """See `HTMLParser`."""
        self._inside = ""

    def handle_comment(self, data: str) -> None:
        """See `HTMLParser`."""
        self.other.append(data)

    def handle_pi(self, data: str) -> None:
        """See `HTMLParser`."""
        self.other.append(data)

    def unknown_decl(self, data: str) -> None:
        """See `HTMLParser`."""
        self.other.append(data)


def shape_of(page: str) -> Shape:
    """A page, parsed."""
    shape = Shape()
    shape.feed(page)
    shape.close()
    return shape


def make(chance: random.Random) -> Case:
    """Rows whose every text may be hostile, their names too, and a recipe."""

    def said(plain: str) -> str:
        if chance.random() < 0.5:
            return plain
        return (
            chance.choice((plain, "")) + chance.choice(HOSTILE) + chance.choice(("", text(chance)))
        )

    rows: list[Any] = []
    for number in range(chance.choice((3, 6, 20))):
        row = {"prompt": said(f"Name {number}."), "completion": said("An apple, a pear.")}
        rows.append(row | {said("category"): said("fruit"), said("more"): said("of it")})
    rows += [rows[0], {said("x"): said("y")}, {"messages": [{"role": said("me"), "content": "a"}]}]
    name = "".join(chance.choice(HOSTILE).replace("/", "").replace("\x00", "")[:60])
    return {"rows": rows, "file": name, "recipe": chance.choice(RECIPES)}


def pages_of(case: Case, folder: Path) -> dict[str, str]:
    """The pages about the rows of a case. Raises `Fault`."""
    dump, recipe = folder / f"{case['file']}.jsonl", folder / f"{case['file']}.yaml"
    dump.write_text("".join(json.dumps(row) + "\n" for row in case["rows"]))
    recipe.write_text(case["recipe"])
    run, html, template = folder / "RUN", folder / "preview.html", folder / f"{case['file']}.jinja"
    template.write_text(
        "{% for m in messages %}{{ m.role ~ m.content ~ '<|im_end|>' }}{% endfor %}"
        "{% if add_generation_prompt %}assistant{% endif %}"
    )
    other = folder / "other.html"
    commands: tuple[list[str | Path], ...] = (
        ["run", dump, "--recipe", recipe, "--out", run, "--workers", "1"],
        ["preview", run, "--template", "chatml", "--html", html],
        ["preview", run, "--template", template, "--html", other],
    )
    for words in commands:
        said = command(words)
        check_said(str(words[0]), said)
    found = {"report": run / "report.html", "preview": html, "preview of a file": other}
    return {name: path.read_text("utf-8") for name, path in found.items() if path.exists()}


@cache
def plain(recipe: str) -> dict[str, Shape]:
    """The pages about rows that nobody means harm with."""
    import tempfile

    chance, rows = random.Random(0), []
    for number in range(20):
        words = " ".join(chance.choices(("red", "blue", "big", "apple", "pear"), k=9))
        row = {"prompt": f"Name {number}.", "completion": words, "category": "fruit"}
        rows.append(row | {"more": "of it"})
    rows += [rows[0], {"x": "y"}]
    with tempfile.TemporaryDirectory() as folder:
        case = {"rows": rows, "file": "plain", "recipe": recipe}
        return {name: shape_of(page) for name, page in pages_of(case, Path(folder)).items()}


def check(case: Case, folder: Path) -> str:
    """Make the pages, and compare what they are made of."""
    known = [shape for recipe in RECIPES for shape in plain(recipe).values()]
    pages = pages_of(case, folder)
    for name, page in pages.items():
        shape = shape_of(page)
        if shape.scripts - {script for one in known for script in one.scripts}:
            raise Fault(f"{name}: a script or style of somebody else's")
        if any(attribute.startswith("on") for attribute in shape.attributes):
            raise Fault(f"{name}: a handler among {sorted(shape.attributes)}")
        if PLANT in "".join((*shape.tags, *shape.attributes, *shape.other, *shape.styles)):
            raise Fault(f"{name}: hostile text is markup")
        if loads := [load for load in shape.loads if load[:1] != "#" and load[:5] != "data:"]:
            raise Fault(f"{name}: the page loads or links: {loads[:3]}")
        if any("url(" in style or "@import" in style for style in shape.styles):
            raise Fault(f"{name}: a style loads something: {shape.styles[:3]}")
        if "default-src 'none'" not in shape.policy:
            raise Fault(f"{name}: no policy forbids what a page loads: {shape.policy!r}")
    return " and ".join(sorted(pages)) or "a sentence"


def prepare() -> None:
    """Make the plain pages."""
    for recipe in RECIPES:
        plain(recipe)


FUZZER = Fuzzer(make, check, prepare=prepare, cases_a_child=500)
