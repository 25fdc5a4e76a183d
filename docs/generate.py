"""Fill the generated parts of the documentation from the code itself.

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`. `make docs` rewrites all of
them; a test fails when one is out of date.
"""

from __future__ import annotations

import argparse
import io
import os
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").glob("*.md"))
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str) -> str:
    """The page with every generated part as it should be."""
    return _PART.sub(lambda found: f"{found[1]}{PARTS[found[2]]()}{found[3]}", page)


def _block(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```\n"


def _cell(text: str) -> str:
    return text.strip().replace("|", "\\|")


def _filters() -> str:
    from curate.pipeline.catalogue import describe

    return _block(describe())


def _commands() -> str:
    from curate.grammar import parser

    os.environ["COLUMNS"] = "100"  # argparse breaks lines at the terminal's width
    verbs = next(
        action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)
    )
    return "\n".join(
        f"## curate {name}\n\n{_block(verb.format_help())}" for name, verb in verbs.choices.items()
    )


def _formats() -> str:
    from curate.sources.formats import FORMATS

    rows = [f"| {name} | {_cell(known.matches.__doc__ or '')} |" for name, known in FORMATS.items()]
    return "\n".join(["| format | recognised by |", "|---|---|", *rows]) + "\n"


def _evaluations() -> str:
    from curate.sources.evaluations.benchmarks import SHAPES

    rows = [
        f"| {name} | {_cell(shape.about)} | {_cell(shape.gives)} |"
        for name, shape in SHAPES.items()
    ]
    header = "| shape | fields | prompt; right answers; passage |"
    return "\n".join([header, "|---|---|---|", *rows]) + "\n"


def _rejects() -> str:
    from curate.sources.shared.convert import REJECTS

    rows = [f"| {slug} | {_cell(meaning)} |" for slug, meaning in REJECTS.items()]
    return "\n".join(["| reject | meaning |", "|---|---|", *rows]) + "\n"


def _rubrics() -> str:
    from filters.llm_judge.rubric import RUBRICS, load_rubric

    lines = [
        "| rubric | what it asks | read as | range | least | source |",
        "|---|---|---|---|---|---|",
    ]
    for name in RUBRICS:
        rubric = load_rubric(name)
        cells = [
            f"`{name}`",
            rubric.about,
            ", ".join(rubric.ways),
            f"{rubric.low:g} to {rubric.high:g}",
            "" if rubric.min_score is None else f"{rubric.min_score:g}",
            rubric.source,
        ]
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    return "\n".join(lines) + "\n"


def _rubric_data() -> str:
    from filters.llm_judge.rubric import RUBRICS, load_rubric

    rows = [f"| `{name}` | {_cell(load_rubric(name).matter.data)} |" for name in RUBRICS]
    return "\n".join(["| rubric | where the row's text stands |", "|---|---|", *rows]) + "\n"


def _judge_problems() -> str:
    from filters.llm_judge.reading import PROBLEMS

    rows = [f"| `{slug}` | {_cell(meaning)} |" for slug, meaning in PROBLEMS.items()]
    return "\n".join(["| no score | why |", "|---|---|", *rows]) + "\n"


def _templates() -> str:
    import templates

    rows = [f"| {name} | {_cell(about)} |" for name, about in templates.describe()]
    return "\n".join(["| template | what it is |", "|---|---|", *rows]) + "\n"


def _choices(name: str) -> str:
    """The values a setting may have, but for those that have a table of their own."""
    from curate.base.settings import choices_of
    from trainer import TrainConfig

    found = () if name in ("allow", "method", "preset") else choices_of(TrainConfig, name)
    return f" ({', '.join(found)})" if found else ""


def _training() -> str:
    import trainer
    from trainer.config.groups import GROUPS
    from trainer.config.methods import METHODS
    from trainer.config.reasons import LEFT_OUT, REASONS

    presets = [f"| {name} | {about} |" for name, about in trainer.presets()]
    settings = [
        [
            f"**{group.capitalize()}.** {GROUPS[group].__doc__}",
            "",
            "| setting | meaning | if neither you nor the preset sets it |",
            "|---|---|---|",
            *(
                f"| {name} | {_cell(help)}{_choices(name)} | {_shown(fallback)} |"
                for part, name, fallback, help in trainer.settings()
                if part == group
            ),
        ]
        for group in GROUPS
    ]
    methods = [
        f"| {name} | {one.about} | {one.source or '-'} | {', '.join(one.fields) or '-'} "
        f"| {'yes' if one.new_rows else 'no'} |"
        for name, one in METHODS.items()
    ]
    reasons = [
        f"| {name} | {sentence} | {'left out' if name in LEFT_OUT else 'trained as they are'} |"
        for name, sentence in REASONS.items()
    ]
    tables = [
        ["| preset | when to take it |", "|---|---|", *presets],
        [
            "| method | what is trained | source | settings of its own | rows of added tokens |",
            "|---|---|---|---|---|",
            *methods,
        ],
        ["| reason | meaning | rows, once allowed |", "|---|---|---|", *reasons],
        *settings,
    ]
    return "\n\n".join("\n".join(table) for table in tables) + "\n"


def _shown(value: object) -> str:
    """A setting's value as a user writes it; `-` for none."""
    if value is None or value == ():
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _recipes() -> str:
    from importlib import resources

    from curate.pipeline.recipe import BUNDLED

    folder = resources.files("curate") / "recipes"
    return "\n".join(
        f"## {name}\n\n```yaml\n{(folder / f'{name}.yaml').read_text('utf-8')}```\n"
        for name in BUNDLED
    )


PARTS: dict[str, Callable[[], str]] = {
    "filters": _filters,
    "commands": _commands,
    "evaluations": _evaluations,
    "formats": _formats,
    "judge_problems": _judge_problems,
    "recipes": _recipes,
    "rejects": _rejects,
    "rubric_data": _rubric_data,
    "rubrics": _rubrics,
    "templates": _templates,
    "training": _training,
}


def main() -> None:
    """Rewrite the pages."""
    for page in PAGES:
        with redirect_stdout(io.StringIO()):
            text = filled(page.read_text("utf-8"))
        page.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
