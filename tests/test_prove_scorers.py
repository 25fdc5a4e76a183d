"""Who compares a proof's answers: what is asked, what is kept, and who is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import curate
from curate.base.errors import CurateError
from curate.base.log import no_log
from curate.base.schema import RECORDS
from curate.pipeline.run_folder import RunFolder
from curate.proofs.cells import Cell
from curate.proofs.chosen_by import check_independent, say_own_kind
from curate.proofs.proof_folder import write_scores
from curate.proofs.scored_answers import Pair, outcomes
from curate.proofs.scorers import Given, JudgeScorer, RewardScorer, answered
from filters.reward import linear, linear_fit
from filters.reward.accuracy import Pairs
from filters.reward.model import score_with_model
from tests.fake_server import Asked, FakeServer, Sent, completion, error
from tests.proof_cells import cell, target
from tests.prove_toys import MODEL, row, write_lines, write_run
from tests.test_reward_model import save_model

pytest.importorskip("torch")
PROMPTS = ("0 a", "1 b", "2 c", "3 d")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, and `RM`, a reward model for which longer answers are better ones."""
    home = tmp_path_factory.mktemp("home")
    write_run(home)
    prompts, words = [f"Where is number {n}?" for n in range(40)], "It stands by the old mill"
    short = [" ".join(words.split()[: 1 + n % 3]) for n in range(40)]
    pairs = Pairs(
        pl.Series(prompts), pl.Series(each + " now, near it" for each in short), pl.Series(short)
    )
    (home / "RM").mkdir()
    linear.save(linear_fit.fit(pairs).model, home / "RM", {})
    return home


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Answers of judges are kept here, and nobody has a key."""
    monkeypatch.setenv("CURATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def records() -> dict[str, pl.DataFrame]:
    """Three rows of a target."""
    asked = [f"Who built the {thing}?" for thing in ("mill", "barn", "well")]
    rows = [
        {
            "row": number,
            "messages": [
                {"role": "user", "content": text},
                {"role": "assistant", "content": "held out"},
            ],
        }
        for number, text in enumerate(asked)
    ]
    return {"old": pl.DataFrame(rows, schema=RECORDS)}


def pair(one: Sequence[str], other: Sequence[str], prompts: Sequence[str] = PROMPTS) -> Pair:
    """Cells whose models gave these answers to the first prompts."""

    def made(name: str, answers: Sequence[str]) -> Cell:
        found = target([1.0] * 4, answers=answers, lengths=[len(each) for each in answers])
        values = {**vars(found), "prompts": tuple(prompts)}
        return cell(name, 0, {"old": type(found)(**values)})

    return made("selected", one), made("random", other)


def likes_longer(asked: Asked) -> Sent | None:
    """A judge for whom the longer answer is the better one."""
    if asked.is_known or "[The Start of Assistant" not in asked.user:
        return completion("A")
    one, other = (
        part.split("Answer]\n")[1].split("\n[The End")[0]
        for part in asked.user.split("[The Start of Assistant ")[1:]
    )
    return completion(f"So. [[{'C' if len(one) == len(other) else 'AB'[len(one) < len(other)]}]]")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer(likes_longer) as server:
        yield server


def judge_at(server: FakeServer, **more: Any) -> JudgeScorer:
    return JudgeScorer.of({"model": "judge-1", "url": server.url, **more})


def compared(server: FakeServer) -> list[str]:
    return [each for each in server.questions if "[The Start of Assistant" in each]


def values(found: dict[Any, Any]) -> list[float | str | None]:
    """By target, in order: numbers, and problems where there are none."""
    (by_target,) = found.values()
    return [each.problem or each.value for each in by_target["old"]]


def test_a_judge_is_asked_in_both_orders_and_nothing_about_equal_answers(
    server: FakeServer, records: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    own = pair(["a mason", "he", "the same"], ["a man", "the men", "the same"])
    found = outcomes(judge_at(server), [own], records, tmp_path, no_log)
    assert list(found) == [("selected", "random", 0)]
    assert values(found) == [1.0, 0.0, 0.5]
    asked = compared(server)
    assert len(asked) == 4 and all("held out" not in each for each in asked)
    assert sum("Who built the mill?" in each for each in asked) == 2


def test_what_was_said_is_kept_beside_the_cells_and_asked_about_no_more(
    server: FakeServer, records: dict[str, pl.DataFrame], tmp_path: Path, cache: Path
) -> None:
    own = pair(["a mason", "he"], ["a man", "the men"])
    scorer = judge_at(server)
    first = outcomes(scorer, [own], records, tmp_path, no_log)
    count = len(server.asked)
    shutil.rmtree(cache)
    assert outcomes(scorer, [own], records, tmp_path, no_log) == first
    assert len(server.asked) == count
    other = pair(["a mason", "she"], ["a man", "the men"])
    assert values(outcomes(scorer, [other], records, tmp_path, no_log)) == [1.0, 0.0]
    assert len(server.asked) > count


def test_a_file_of_scores_that_was_changed_is_made_again(
    server: FakeServer, records: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    own = pair(["a mason"], ["a man"])
    outcomes(judge_at(server), [own], records, tmp_path, no_log)
    (file,) = tmp_path.glob("scores.judge.*.json")
    file.write_text(file.read_text("utf-8").replace("1.0", "0.0"), "utf-8")
    assert values(outcomes(judge_at(server), [own], records, tmp_path, no_log)) == [1.0]


@pytest.mark.parametrize(
    "column",
    [[], 7, [7], [[1.0]], [["1", "", False]], [[7.0, "", False]], [[None, "", False]]],
    ids=["short", "number", "numbers", "row", "text", "large", "why"],
)
def test_scores_that_nobody_here_wrote_are_asked_for_again(
    server: FakeServer, records: dict[str, pl.DataFrame], tmp_path: Path, column: Any
) -> None:
    own = pair(["a mason"], ["a man"])
    outcomes(judge_at(server), [own], records, tmp_path, no_log)
    (file,) = tmp_path.glob("scores.judge.*.json")
    content = json.loads(file.read_bytes())
    write_scores(
        tmp_path, file.name[len("scores.") : -len(".json")], content["of"], {"old": column}
    )
    assert values(outcomes(judge_at(server), [own], records, tmp_path, no_log)) == [1.0]
    assert json.loads(file.read_bytes()) == content


def test_a_reward_model_without_a_finite_score_makes_up_no_tie(
    home: Path, records: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    broken = shutil.copytree(home / "RM", tmp_path / "RM")
    model = linear.load(str(broken))
    model.dense_weights[:] = np.nan
    linear.save(model, broken, {})
    own = pair(["It stands by the mill", "It"], ["It", "It"])
    found = outcomes(RewardScorer.of(str(broken)), [own], records, tmp_path, no_log)
    assert values(found) == ["no_score", "no_score"]


def test_equal_answers_are_a_tie_whatever_the_last_digits_of_their_scores(
    home: Path, records: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    scorer, own = RewardScorer.of(str(home / "RM")), pair(["It", "he"], ["It", "he"])
    outcomes(scorer, [own], records, tmp_path, no_log)
    file = tmp_path / "scores.reward.random.0.json"
    content = json.loads(file.read_bytes())
    (one, _), other = content["scores"]["old"], [None, "too long", False]
    moved = {"old": [[one[0] + 1e-7, *one[1:]], other]}
    write_scores(tmp_path, "reward.random.0", content["of"], moved)
    assert values(outcomes(scorer, [own], records, tmp_path, no_log)) == [0.5, "too long"]


def test_what_cannot_be_read_has_no_score_and_is_not_asked_again(
    records: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    def vague(asked: Asked) -> Sent | None:
        return completion("Both have merits.") if "the barn" in asked.user else None

    own = pair(["a mason", "he", ""], ["a man", "the men", "she"])
    with FakeServer(vague, likes_longer) as server:
        for _ in range(2):
            found = outcomes(judge_at(server), [own], records, tmp_path, no_log)
            assert values(found) == [1.0, "unreadable", "nothing_to_judge"]
        assert len(compared(server)) == 4


def test_what_a_server_failed_at_is_asked_again_by_the_same_command(
    records: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    broken = [True]

    def failing(asked: Asked) -> Sent | None:
        if broken[0] and "the barn" in asked.user:
            return error(400, "This answer cannot be processed.")
        return None

    own = pair(["a mason", "he"], ["a man", "the men"])
    with FakeServer(failing, likes_longer) as server:
        scorer = judge_at(server)
        assert values(outcomes(scorer, [own], records, tmp_path, no_log)) == [1.0, "no_answer"]
        broken[0] = False
        before = len(compared(server))
        assert values(outcomes(scorer, [own], records, tmp_path, no_log)) == [1.0, 0.0]
        assert all("the barn" in each for each in compared(server)[before:])


def test_a_judge_that_scores_is_asked_about_each_answer_alone(
    records: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    def grades(asked: Asked) -> Sent | None:
        return completion("4.5\nGood." if "a mason" in asked.user else "2\nShort.")

    own = pair(["a mason", "he"], ["a man", "the men"])
    with FakeServer(grades) as server:
        found = outcomes(judge_at(server, rubric="alpagasus"), [own], records, tmp_path, no_log)
        assert values(found) == [1.0, 0.5]
        assert len(server.questions) == 4
    names = {path.name for path in tmp_path.glob("scores.*")}
    assert names == {"scores.judge.selected.0.json", "scores.judge.random.0.json"}


def test_a_reward_model_scores_each_cell_once(
    home: Path, records: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    scorer = RewardScorer.of(str(home / "RM"))
    own = pair(
        ["It stands by the mill now, near it", "It", "same"],
        ["It", "It stands now, near it", "same"],
    )
    found = outcomes(scorer, [own], records, tmp_path, no_log)
    assert values(found) == [1.0, 0.0, 0.5]
    names = {path.name for path in tmp_path.glob("scores.*")}
    assert names == {"scores.reward.selected.0.json", "scores.reward.random.0.json"}
    shutil.copytree(home / "RM", tmp_path / "RM")
    again = RewardScorer.of(str(tmp_path / "RM"))
    assert again.plan["sha256"] == scorer.plan["sha256"]


def test_a_sequence_classifier_scores_by_its_own_template_and_counts_what_is_too_long(
    records: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    model = save_model(tmp_path / "RM")
    own = pair(["two and two", "word " * 90, "same"], ["four", "he", "same"])
    (tmp_path / "proof").mkdir()
    scorer = RewardScorer.of(model)
    found = values(outcomes(scorer, [own], records, tmp_path / "proof", no_log))
    score = score_with_model(
        answered([Given(row, "two and two") for row in records["old"].iter_rows(named=True)]), model
    )["score"][0]
    kept = json.loads((tmp_path / "proof" / "scores.reward.selected.0.json").read_bytes())
    assert kept["scores"]["old"][0][0] == pytest.approx(score, rel=1e-6)
    assert found[0] in (0.0, 1.0)
    assert found[1:] == ["longer than the reward model reads", 0.5]


def test_answers_of_a_row_with_several_prompts_are_not_compared(
    home: Path, records: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    prompts = ("0 a", "0 a #2", "1 b", "2 c")
    own = pair(["It", "It stands", "It", "It"], ["a", "b", "It stands now", "c"], prompts)
    found = outcomes(RewardScorer.of(str(home / "RM")), [own], records, tmp_path, no_log)
    assert values(found)[:3] == ["several_prompts", "several_prompts", 0.0]


def test_a_judge_that_cannot_be_asked_is_found_out_before_training(
    records: dict[str, pl.DataFrame], tmp_path: Path
) -> None:
    def refusing(asked: Asked) -> Sent | None:
        return None if asked.is_known else error(400, "Not today.")

    with FakeServer(refusing) as server, pytest.raises(CurateError, match="Not today"):
        judge_at(server).check()
    with FakeServer(likes_longer) as server:
        scorer = judge_at(server)
        scorer.check()
        outcomes(scorer, [pair(["a mason"], ["a man"])], records, tmp_path, no_log)
    nobody = JudgeScorer.of({"model": "judge-2", "url": server.url})
    with pytest.raises(CurateError, match=r"127\.0\.0\.1"):
        nobody.check()
    kept = outcomes(scorer, [pair(["a mason"], ["a man"])], records, tmp_path, no_log)
    assert values(kept) == [1.0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"url": "http://127.0.0.1:9/v1"}, "url needs model|nobody is named"),
        ({"model": "m", "url": "http://127.0.0.1:9/v1", "rubric": "nosuch"}, "nosuch"),
        ({"model": "m", "url": "http://127.0.0.1:9/v1", "top_k": 3}, "top_k is for a step"),
        ({"model": "m", "url": "http://127.0.0.1:9/v1", "colour": 3}, "colour"),
        ({"model": "m", "url": "http://127.0.0.1:9/v1", "rubric": "instag"}, "does not look at"),
        ({"model": "no/such"}, "no model folder"),
    ],
    ids=["nobody", "rubric", "rule", "setting", "prompts", "folder"],
)
def test_what_is_no_judge_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(CurateError, match=message):
        JudgeScorer.of(given)


def test_what_is_no_reward_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CurateError, match="no model folder"):
        RewardScorer.of(str(tmp_path))


def run_with(home: Path, *steps: Any) -> RunFolder:
    """A run by such steps."""
    dump = write_lines(home / "dump.jsonl", [row(number) for number in range(40)])
    curate.run(dump, steps=list(steps), out=home / "run", cache=False)
    return RunFolder.open(home / "run")


def test_a_reward_model_that_chose_the_rows_is_refused_under_any_name(
    home: Path, tmp_path: Path
) -> None:
    run = run_with(tmp_path, {"reward": {"model": str(home / "RM"), "keep_top": 0.5}})
    copy = shutil.copytree(home / "RM", tmp_path / "copy")
    for folder in (home / "RM", copy):
        with pytest.raises(CurateError, match=r"step reward scored rows by .*RM, which is the"):
            check_independent(run, RewardScorer.of(str(folder)), no_log)
    other = shutil.copytree(home / "RM", tmp_path / "other")
    model = linear.load(str(other))
    model.dense_weights[0] += 1
    linear.save(model, other, {})
    lines: list[str] = []
    check_independent(run, RewardScorer.of(str(other)), lines.append)
    assert not lines


def test_a_reward_model_that_is_not_there_any_more_is_said(home: Path, tmp_path: Path) -> None:
    gone = shutil.copytree(home / "RM", tmp_path / "gone")
    run = run_with(tmp_path, {"reward": {"model": str(gone), "keep_top": 0.5}})
    shutil.rmtree(gone)
    lines: list[str] = []
    check_independent(run, RewardScorer.of(str(home / "RM")), lines.append)
    assert len(lines) == 1 and "is not there any more, so nobody can say" in lines[0]


def test_a_judge_that_chose_the_rows_is_refused_by_its_name(tmp_path: Path) -> None:
    def grades(asked: Asked) -> Sent | None:
        return completion("4.5" if "stone" in asked.user else "2", model="judge-1-2026")

    with FakeServer(grades) as server:
        step = {
            "judge": {"model": "judge-1", "url": server.url, "rubric": "alpagasus", "min_score": 4}
        }
        run = run_with(tmp_path, step)
    for name in ("judge-1", "judge-1-2026"):
        same = JudgeScorer.of({"model": name, "url": "http://127.0.0.1:9/v1"})
        with pytest.raises(CurateError, match="step judge scored rows by judge-1, which is the"):
            check_independent(run, same, no_log)
    other = JudgeScorer.of({"model": "judge-2", "url": "http://127.0.0.1:9/v1"})
    check_independent(run, other, no_log)


def test_a_reward_model_that_was_fitted_on_what_the_run_was_made_of_is_said(
    home: Path, tmp_path: Path
) -> None:
    run = RunFolder.open(home / "run")
    source = run.manifest["sources"][0]
    fitted = shutil.copytree(home / "RM", tmp_path / "RM")
    linear.save(linear.load(str(fitted)), fitted, {"sources": [source]})
    lines: list[str] = []
    check_independent(run, RewardScorer.of(str(fitted)), lines.append)
    assert len(lines) == 1 and f"was fitted on {source['source']}, of which the run" in lines[0]
    check_independent(run, RewardScorer.of(str(home / "RM")), lines.append)
    assert len(lines) == 1


def test_a_judge_that_is_the_model_itself_is_said(home: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    for judge in (MODEL, str(shutil.copytree(MODEL, tmp_path / "copy"))):
        say_own_kind(MODEL, JudgeScorer.of({"model": judge}), lines.append)
    assert len(lines) == 2 and all("is the model that is trained" in line for line in lines)
    server = JudgeScorer.of({"model": "judge-1", "url": "http://127.0.0.1:9/v1"})
    for other in (server, RewardScorer.of(str(home / "RM"))):
        say_own_kind(MODEL, other, lines.append)
    assert len(lines) == 2


def test_refusals_come_before_anything_is_rendered_or_written(home: Path, tmp_path: Path) -> None:
    run_with(tmp_path, {"reward": {"model": str(home / "RM"), "keep_top": 0.5}})
    lines: list[str] = []
    with pytest.raises(CurateError, match="its own choice; name another one in reward"):
        curate.prove(
            tmp_path / "run",
            model=MODEL,
            template="chatml",
            out=tmp_path / "proof",
            reward=home / "RM",
            log=lines.append,
        )
    assert not lines and not (tmp_path / "proof").exists()


def test_no_key_is_in_any_file_of_scores(
    server: FakeServer,
    records: dict[str, pl.DataFrame],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secret = "sk-verysecret-0123456789"
    monkeypatch.setenv("OPENAI_API_KEY", secret)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    lines: list[str] = []
    scorer = judge_at(server)
    outcomes(scorer, [pair(["a mason"], ["a man"])], records, tmp_path, lines.append)
    assert any(secret in each.headers.get("authorization", "") for each in server.asked)
    assert secret not in " ".join(lines) + json.dumps(scorer.plan)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and all(secret.encode() not in path.read_bytes() for path in files)
