"""A model's name on the hub: one question, no waiting; nothing here asks a server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from curate.base import hub
from curate.base.errors import CurateError
from templates import load_tokenizer
from tests.trainer_toys import write_model
from trainer.models import model

huggingface_hub = pytest.importorskip("huggingface_hub")
errors: Any = pytest.importorskip("huggingface_hub.errors")
pytest.importorskip("torch")

NAME = "some-lab/small"
Answer = Callable[[BaseException | None], list[str]]


def no_such_model(kind: str = "RepositoryNotFoundError") -> Exception:
    """The error that the hub's library raises, with as much of a response as it looks at."""
    response = type("Response", (), {"headers": {}, "request": None})()
    found: Exception = getattr(errors, kind)("404 Client Error.\nLong text.", response=response)
    return found


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answer]:
    """Let the hub answer every question with an error, or without one; what was asked."""
    hub.place.cache_clear()
    asked: list[str] = []

    def answers(error: BaseException | None) -> list[str]:
        def model_info(self: Any, name: str, timeout: float) -> None:
            assert timeout <= 5
            asked.append(name)
            if error:
                raise error

        monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
        return asked

    def waits(seconds: float) -> None:
        raise AssertionError(f"slept for {seconds} s")

    monkeypatch.setattr(time, "sleep", waits)
    yield answers
    hub.place.cache_clear()


def test_a_folder_is_taken_as_it_is(answer: Answer, tmp_path: Path) -> None:
    assert hub.place(str(tmp_path)) == str(tmp_path)
    assert not answer(None)


def test_a_name_that_the_hub_knows_is_loaded_by_that_name(answer: Answer) -> None:
    asked = answer(None)
    assert [hub.place(NAME), hub.place(NAME)] == [NAME, NAME]
    assert asked == [NAME]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("RepositoryNotFoundError", "no public model of this name on the hub; check the spelling"),
        ("GatedRepoError", "only to users whom its owner let in"),
    ],
)
def test_a_name_that_the_hub_refuses_is_one_sentence(answer: Answer, kind: str, said: str) -> None:
    answer(no_such_model(kind))
    with pytest.raises(CurateError, match=f"^{NAME}: .*{said}") as error:
        model.read_limits(NAME)
    assert "\n" not in str(error.value)


def unreachable() -> Exception:
    """What the library below the hub's raises where there is no network."""
    bases = errors.HfHubHTTPError.__bases__
    found: Exception = next(kind for kind in bases if kind is not OSError)("No such host")
    return found


@pytest.mark.parametrize("error", [unreachable(), OSError("No such host"), TimeoutError()])
def test_without_a_network_nothing_is_waited_for(
    answer: Answer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    answer(error)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CurateError, match=r"the hub cannot be asked .*check the spelling and the"):
        model.read_limits(NAME)


def test_without_a_network_a_model_that_was_downloaded_is_loaded_from_there(
    answer: Answer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / "models--some-lab--small"
    snapshot = place / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    write_model(snapshot)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    asked = answer(unreachable())
    assert hub.place(NAME) == str(snapshot)
    assert model.read_limits(NAME).vocabulary == 32
    assert asked == [NAME]


def test_a_tokenizer_that_the_hub_does_not_have_is_one_sentence(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, said in (
        (no_such_model(), "no public model of this name on the hub; check the spelling"),
        (OSError("No such host\nLong"), r"gave nothing \(No such host\); check the spelling"),
    ):

        def snapshot_download(*given: Any, raised: Exception = error, **named: Any) -> str:
            raise raised

        monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
        with pytest.raises(CurateError, match=f"^tokenizer {NAME}: .*{said}"):
            load_tokenizer(NAME)
