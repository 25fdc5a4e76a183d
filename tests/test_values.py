from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curate.base import values
from curate.pipeline import recipe


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("off", "off"),
        ("no", "no"),
        ("True", True),
        ("null", None),
        ("", None),
        ("010", 10),
        ("-3", -3),
        ("1e-5", 1e-5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", float("-inf")),
        ("2024-07-26", "2024-07-26"),
        ("1:30", "1:30"),
        ("0x1f", "0x1f"),
        ("[a, 1]", ["a", 1]),
        ('"1"', "1"),
    ],
)
def test_a_value_is_what_yaml_1_2_makes_of_it(written: str, meant: Any) -> None:
    found = values.load(written)
    assert found == meant and type(found) is type(meant)


def test_a_setting_given_twice_is_an_error() -> None:
    with pytest.raises(values.NotYaml, match="'threshold' is given twice"):
        values.load("near: {threshold: 0.7, threshold: 0.9}")


def test_off_is_a_word_in_a_recipe_and_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("steps:\n  - quality: {off: [loop]}\n  - language\n")
    quality, language = recipe.load(str(path), {"language.mismatch": values.load("off")}).steps
    assert getattr(quality.action, "off") == ("loop",)  # noqa: B009
    assert getattr(language.action, "mismatch") == "off"  # noqa: B009
