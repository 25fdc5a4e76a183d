from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import settings

from curate.base import unexpected
from curate.base.schema import RECORDS, content_id, with_text

# Shared machines stall for longer than hypothesis allows one example; CI must not depend on luck.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real dumps, tokenizers and models; tests that need it skip without it."""
    folder = Path(os.environ.get("CURATE_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("needs the test data (CURATE_TEST_DATA); see tests/DATA.md")
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees what another one, or the user, measured."""
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def nothing_unexpected(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would reach the command line's last handler fails the test that got it there."""

    def fail(error: BaseException, argv: object) -> int:
        raise error

    monkeypatch.setattr(unexpected, "answer_unexpected", fail)


@pytest.fixture
def conversation() -> Any:
    """Build Records from (prompt, response) pairs."""

    def build(*pairs: tuple[str, str], **columns: list[Any]) -> pl.DataFrame:
        turns = [
            [{"role": "user", "content": prompt}, {"role": "assistant", "content": response}]
            for prompt, response in pairs
        ]
        rows = {
            "row": range(len(turns)),
            "id": [content_id(turn) for turn in turns],
            "source": ["test.jsonl"] * len(turns),
            "line": range(1, len(turns) + 1),
            "messages": turns,
            "meta": ["{}"] * len(turns),
            **columns,
        }
        empty = {name: [None] * len(turns) for name in RECORDS if name not in rows}
        return with_text(
            pl.DataFrame(rows | empty, schema_overrides=dict(RECORDS)).select(RECORDS.names())
        )

    return build
