"""Distillation: the loss of a teacher's distributions, and runs that are taught."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curate.base.errors import CurateError
from curate.cli import main
from tests.trainer_toys import (
    ALL,
    DOCUMENTS,
    VOCABULARY,
    documents,
    reversed_pairs,
    silent,
    toy_model,
    write_model,
    write_tokenizer,
    write_tokens,
)
from trainer import TrainConfig, dry_run, teaching, train
from trainer.data.batches import batches, pad
from trainer.data.rows import Rows, make_rows
from trainer.data.teacher import answer_places
from trainer.loss import LossMode, target_nats
from trainer.objectives import distil, sft
from trainer.objectives.divergence import in_buckets, kl
from trainer.objectives.teachers import OnlineTeacher
from trainer.packing import pack

torch = pytest.importorskip("torch")

# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")

# Log probabilities over five words for three targets, of a teacher and of a student.
TEACHER = torch.tensor([[2.0, 1.0, 0.5, -1.0, 0.0], [0.0] * 5, [-3.0, 4.0, 1.0, 0.2, 2.0]])
STUDENT = torch.tensor([[0.0, 1.5, -0.5, 1.0, 0.3], [1.0, 2, 3, 4, 5], [0.1, 0.2, 0.3, 0.4, 0.5]])


def config(**fields: Any) -> TrainConfig:
    given = {"tokens": "t", "model": "m", "out": "o", "max_grad_norm": 0.0, "teacher": "big"}
    return TrainConfig(**{**given, **fields})


def taught_by(
    net: Any,
    rows: Rows,
    *,
    weight: float = 0.5,
    temperature: float = 1.0,
    reverse: bool = False,
    packed: bool = False,
    whole: bool = False,
) -> LossMode:
    places = answer_places(rows)
    how = (weight, temperature, reverse, VOCABULARY, (rows,), places)
    return LossMode(whole, packed, teacher=OnlineTeacher(*how, net=net, whole=whole))


def gradient_of(model: Any) -> Any:
    return torch.cat([weight.grad.flatten() for weight in model.parameters()])


def step(model: Any, rows: Rows, mode: LossMode, **fields: Any) -> Any:
    return distil.gradients(model, rows, ALL, config(**fields), mode, len(rows))


# The divergence


def test_the_divergence_from_itself_is_nothing():
    for reverse in (False, True):
        assert kl(TEACHER.log_softmax(-1), TEACHER.log_softmax(-1), reverse).tolist() == [0, 0, 0]


def test_forward_is_cross_entropy_less_the_teachers_entropy():
    teacher, student = TEACHER.log_softmax(-1), STUDENT.log_softmax(-1)
    cross = -(teacher.exp() * student).sum(-1)
    entropy = -(teacher.exp() * teacher).sum(-1)
    assert torch.allclose(kl(teacher, student, False), cross - entropy, atol=1e-6)


def test_reverse_is_the_divergence_of_the_two_in_the_other_order():
    teacher, student = TEACHER.log_softmax(-1), STUDENT.log_softmax(-1)
    assert torch.allclose(kl(teacher, student, True), kl(student, teacher, False), atol=1e-6)
    assert not torch.allclose(kl(teacher, student, True), kl(teacher, student, False), atol=1e-2)


def test_by_hand_of_two_words():
    teacher, student = torch.tensor([[0.75, 0.25]]).log(), torch.tensor([[0.5, 0.5]]).log()
    assert float(kl(teacher, student, False)) == pytest.approx(0.130812, abs=1e-6)
    assert float(kl(teacher, student, True)) == pytest.approx(0.143841, abs=1e-6)


def test_a_teacher_that_is_certain_gives_cross_entropy():
    """What it gives no probability at all, as ln 0 or nearly so, counts nothing."""
    import torch.nn.functional as F

    right = torch.tensor([3, 0, 1])
    for nothing in (-1e4, float("-inf")):
        teacher = torch.full((3, 5), nothing)
        teacher[torch.arange(3), right] = 0.0
        found = kl(teacher.log_softmax(-1), STUDENT.log_softmax(-1), False)
        assert torch.allclose(found, F.cross_entropy(STUDENT, right, reduction="none"), atol=1e-6)


def test_its_gradient_is_the_difference_of_the_distributions():
    logits = STUDENT.clone().requires_grad_()
    kl(TEACHER.log_softmax(-1), logits.log_softmax(-1), False).sum().backward()
    assert torch.allclose(logits.grad, STUDENT.softmax(-1) - TEACHER.softmax(-1), atol=1e-6)


@pytest.mark.parametrize("top", [1, 2, 3, 4])
@pytest.mark.parametrize("reverse", [False, True])
def test_the_likeliest_words_and_a_rest_are_never_further_apart_than_all_words(
    top: int, reverse: bool
):
    ids = TEACHER.topk(top, dim=-1).indices
    part = kl(in_buckets(TEACHER, ids), in_buckets(STUDENT, ids), reverse)
    full = kl(TEACHER.log_softmax(-1), STUDENT.log_softmax(-1), reverse)
    assert bool((part <= full + 1e-6).all()) and bool((part >= 0).all())
    assert float((full - part).max()) > (1e-4 if top < 4 else -1e-6)


def test_buckets_add_up_to_one_and_of_all_words_there_is_no_rest():
    for top in (1, 3, 5):
        found = in_buckets(TEACHER, TEACHER.topk(top, dim=-1).indices)
        assert found.shape[1] == min(top + 1, 5)
        assert torch.allclose(found.exp().sum(-1), torch.ones(3), atol=1e-6)


def test_a_rest_of_a_billionth_is_not_rounded_to_nothing():
    logits = torch.tensor([[30.0, 0.0, 1.0]])
    rest = float(in_buckets(logits, torch.tensor([[0]]))[0, 1])
    assert rest == pytest.approx(-30 + np.log(1 + np.e), abs=1e-4)


# A step


def test_a_model_taught_by_itself_learns_its_labels_alone():
    model, rows = toy_model(), documents()
    plain, _, _ = sft.gradients(model, rows, ALL, config(), LossMode(False, False), len(rows))
    expected = gradient_of(model).clone()
    loss, _, parts = step(model, rows, taught_by(toy_model(), rows))
    assert parts["teacher_kl"] == 0.0
    assert parts["sft_loss"] == pytest.approx(plain, abs=1e-6)
    assert loss == pytest.approx(plain / 2, abs=1e-6)
    assert torch.allclose(gradient_of(model), expected / 2, atol=1e-6)


def reference(model: Any, teacher: Any, temperature: float, reverse: bool) -> tuple[Any, Any]:
    """Mean nats and mean divergence by the textbook, row by row, from whole logits."""
    import torch.nn.functional as F

    nats, apart, count = 0.0, 0.0, 0
    for ids, labels in DOCUMENTS:
        targets = torch.tensor(labels[1:])
        at = targets != -100
        own = model(input_ids=torch.tensor([ids])).logits[0, :-1][at]
        with torch.no_grad():
            theirs = teacher(input_ids=torch.tensor([ids])).logits[0, :-1][at]
        nats = nats + F.cross_entropy(own, targets[at], reduction="sum")
        one = F.log_softmax(theirs / temperature, -1)
        other = F.log_softmax(own / temperature, -1)
        if reverse:
            one, other = other, one
        apart = apart + F.kl_div(other, one, reduction="sum", log_target=True)
        count += int(at.sum())
    return nats / count, apart / count


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
@pytest.mark.parametrize(
    ("micro_tokens", "packed", "whole"),
    [(1000, False, False), (11, False, False), (1000, True, False), (11, False, True)],
)
def test_a_step_is_the_weighted_sum_however_it_is_computed(
    reverse: bool, temperature: float, micro_tokens: int, packed: bool, whole: bool
):
    from trainer.models.attention import prepare

    model, teacher, rows = toy_model(), toy_model(seed=1, hidden_size=32), documents()
    nats, apart = reference(model, teacher, temperature, reverse)
    expected = 0.7 * nats + 0.3 * temperature**2 * apart
    expected.backward()
    wanted = gradient_of(model).clone()
    if packed:
        prepare(model), prepare(teacher)
    mode = taught_by(
        teacher,
        rows,
        weight=0.3,
        temperature=temperature,
        reverse=reverse,
        packed=packed,
        whole=whole,
    )
    loss, norm, parts = step(model, rows, mode, micro_tokens=micro_tokens)
    assert loss == pytest.approx(expected.item(), abs=2e-6)
    assert parts["sft_loss"] == pytest.approx(nats.item(), abs=1e-6)
    assert parts["teacher_kl"] == pytest.approx(apart.item(), abs=1e-6)
    assert torch.allclose(gradient_of(model), wanted, atol=3e-6)
    assert norm == pytest.approx(float(wanted.norm()), abs=1e-5)


def test_gradients_keep_their_size_at_any_temperature():
    """Times T squared the gradient tends to a constant, V(z - mean) of Hinton; without, to 0."""
    rows, norms = documents(), {}
    for temperature in (1.0, 20.0, 80.0):
        mode = taught_by(toy_model(seed=1), rows, weight=1.0, temperature=temperature)
        _, norms[temperature], _ = step(toy_model(), rows, mode)
    assert norms[80.0] == pytest.approx(norms[20.0], rel=0.05)
    assert 0.2 < norms[80.0] / norms[1.0] < 5


def test_pieces_of_any_size_give_the_same_numbers_and_gradients():
    from trainer.loss import target_numbers

    model, teacher, rows = toy_model(), toy_model(seed=1), documents()
    batch, guide = pad(rows, ALL), taught_by(teacher, rows).teacher
    assert guide is not None
    taught, found = guide.taught(batch), []

    def measure(logits: Any, places: slice) -> Any:
        return taught.apart(logits, places)[:, None]

    for chunk in (VOCABULARY, 3 * VOCABULARY, 10_000):
        model.zero_grad()
        numbers = target_numbers(model, batch, measure, whole=False, chunk=chunk)
        numbers.sum().backward()
        found.append((numbers.detach(), gradient_of(model).clone()))
    for numbers, gradient in found[1:]:
        assert torch.allclose(numbers, found[0][0], atol=1e-6)
        assert torch.allclose(gradient, found[0][1], atol=1e-5)


def test_tokens_count_as_they_weigh():
    weights = [[0.5 + number % 3 for number in range(len(ids))] for ids, _ in DOCUMENTS]
    names = [str(number) for number in range(len(DOCUMENTS))]
    ids, labels = [row[0] for row in DOCUMENTS], [row[1] for row in DOCUMENTS]
    rows, model = make_rows(names, ids, labels, weights), toy_model()
    mode = taught_by(toy_model(seed=1), rows, weight=1.0)
    loss, _, parts = step(model, rows, mode)
    assert loss == pytest.approx(parts["teacher_kl"], abs=1e-6)
    even = documents()
    unweighted, _, _ = step(model, even, taught_by(toy_model(seed=1), even, weight=1.0))
    assert abs(loss - unweighted) > 1e-4


def test_what_the_teacher_does_not_know_keeps_the_plain_loss():
    """Prompts that are trained beside the answers have labels of their own and no teacher."""
    from trainer.data.rows import train_prompts

    model, plain = toy_model(), documents()
    rows = train_prompts(plain, 1.0)
    mode = taught_by(toy_model(seed=1), rows, weight=1.0)
    loss, _, parts = step(model, rows, mode)
    with torch.no_grad():
        everything = target_nats(model, pad(rows, ALL), whole=False).sum()
        answers = target_nats(model, pad(plain, ALL), whole=False).sum()
    count, known = int(rows.target_counts.sum()), int(plain.target_counts.sum())
    expected = (float(everything - answers) + known * parts["teacher_kl"]) / count
    assert loss == pytest.approx(expected, abs=1e-5)


def test_evaluation_is_of_the_labels_and_has_the_divergence_beside_it():
    model, teacher, rows = toy_model(), toy_model(seed=1), documents()
    mode = taught_by(teacher, rows, weight=1.0, temperature=2.0)
    plain = sft.evaluate(model, rows, ALL, 64, LossMode(False, False))
    assert plain is not None
    for size in (1, 15, 1000):
        held = distil.evaluate(model, rows, ALL, size, mode)
        assert held is not None
        assert held.loss == pytest.approx(plain.loss, abs=1e-6)
        assert held.example_loss == pytest.approx(plain.example_loss, abs=1e-6)
        _, apart = reference(model, teacher, 2.0, False)
        assert held.teacher_kl == pytest.approx(apart.item(), abs=1e-6)
    other = distil.evaluate(model, documents(), ALL, 64, mode)
    assert other is not None and other.teacher_kl is None


def test_every_target_of_a_pass_knows_its_place_in_the_rows():
    rows = documents()
    for make in (batches, pack):
        for batch in make(rows, ALL, 14, 6):
            assert batch.source is not None
            assert rows.targets[batch.source].tolist() == batch.targets.tolist()


# Runs

FIELDS: dict[str, Any] = {
    "preset": "alpaca",
    "num_train_epochs": 2,
    "batch_size": 8,
    "learning_rate": 3e-3,
    "held_out": 0.2,
    "prompts": 1,
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("distil")
    found = {
        "tokens": write_tokens(home / "tokens", reversed_pairs(40)),
        "model": write_model(home / "model"),
        "teacher": write_model(home / "teacher", hidden_size=32, seed=7),
    }
    teaching.teach(found["tokens"], found["teacher"], str(home / "logits"), top=31, log=silent)
    return {**found, "logits": str(home / "logits")}


def run(places: dict[str, str], out: Path, teacher: str | None, **fields: Any) -> Any:
    given = {"tokens": places["tokens"], "model": places["model"], "out": str(out), **FIELDS}
    lines: list[str] = []
    given |= {} if teacher is None else {"teacher": places.get(teacher, teacher)}
    return train(TrainConfig(**{**given, **fields}), lines.append), lines


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_a_run_says_who_teaches_and_has_the_divergence_as_a_column(
    places: dict[str, str], tmp_path: Path
):
    result, lines = run(places, tmp_path / "out", "teacher", distil_temperature=2.0)
    text = "\n".join(lines)
    assert f"teacher: {places['teacher']}, asked at every step" in text
    assert "0.5 x KL(teacher || student) at temperature 2, times its square" in text
    assert "KL to teacher" in text
    assert all(line.held_out.teacher_kl > 0 for line in result.table)
    steps = [line for line in metrics(tmp_path / "out") if "eval" not in line]
    for line in steps:
        assert line["loss"] == pytest.approx(0.5 * line["sft_loss"] + 2 * line["teacher_kl"])
    assert result.table[-1].held_out.teacher_kl < result.table[0].held_out.teacher_kl


def test_written_distributions_of_all_words_but_one_teach_as_the_model_does(
    places: dict[str, str], tmp_path: Path
):
    """Of 32 words 31 are kept, so the rest is one word, and rounding is all that differs."""
    one, _ = run(places, tmp_path / "one", "teacher")
    two, lines = run(places, tmp_path / "two", "logits")
    assert "the likeliest 31 of 32 words and all others together" in "\n".join(lines)
    for online, stored in zip(one.table, two.table, strict=True):
        assert stored.held_out.loss == pytest.approx(online.held_out.loss, abs=1e-3)
        assert stored.held_out.teacher_kl == pytest.approx(online.held_out.teacher_kl, abs=2e-3)


def test_without_a_teacher_nothing_of_it_is_there(places: dict[str, str], tmp_path: Path):
    result, lines = run(places, tmp_path / "out", None)
    assert not any("teacher" in line for line in lines)
    assert result.table[0].held_out.teacher_kl is None


def test_adapters_are_taught_with_general_text_beside(places: dict[str, str], tmp_path: Path):
    result, _ = run(
        places,
        tmp_path / "out",
        "logits",
        preset="lora",
        replay=places["tokens"],
        replay_share=0.3,
        prompt_weight=0.1,
        retention=places["tokens"],
        packing="on",
        micro_tokens=20,
    )
    assert result.table[-1].held_out.teacher_kl > 0
    steps = [line for line in metrics(tmp_path / "out") if "eval" not in line]
    assert all({"sft_loss", "teacher_kl"} <= line.keys() for line in steps)
    assert any("general_loss" in line for line in steps)


def test_a_dry_run_asks_the_teacher_too(places: dict[str, str], tmp_path: Path):
    given = {"tokens": places["tokens"], "model": places["model"], "out": str(tmp_path / "o")}
    lines: list[str] = []
    dry_run(TrainConfig(**given, **FIELDS, teacher=places["logits"]), lines.append)
    assert any(line.startswith("teacher: ") for line in lines)
    assert not (tmp_path / "o").exists()


def test_the_command_line_has_an_option_for_it(
    places: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ["train", places["tokens"], "--model", places["model"], "--teacher", places["logits"]]
    sets = [word for name, value in FIELDS.items() for word in ("--set", f"{name}={value}")]
    assert main([*words, *sets, "--out", str(tmp_path / "out")]) == 0
    assert "distillation: 0.5 x KL" in capsys.readouterr().out


@pytest.mark.parametrize("teacher", ["teacher", "logits"])
def test_a_stopped_run_ends_in_the_same_bits_and_only_with_the_same_teacher(
    places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, teacher: str
):
    from tests.test_trainer_resume import StoppedError, outcome, stop_at

    fields = {"residual_dropout": 0.1, "save_steps": 2}
    run(places, tmp_path / "whole", teacher, **fields)
    with monkeypatch.context() as patch:
        stop_at(patch, "trainer.loop.learning_rate", 6)
        with pytest.raises(StoppedError):
            run(places, tmp_path / "out", teacher, **fields)
    other = write_model(tmp_path / "other", hidden_size=32, seed=8)
    with pytest.raises(CurateError, match=r"cannot resume, .*: the teacher is another"):
        run(places, tmp_path / "out", other, **fields, resume=True)
    with pytest.raises(CurateError, match=r"distil_weight was 0\.5, now 0\.25"):
        run(places, tmp_path / "out", teacher, **fields, resume=True, distil_weight=0.25)
    run(places, tmp_path / "out", teacher, **fields, resume=True)
    assert outcome(tmp_path / "out") == outcome(tmp_path / "whole")


# What is refused


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"objective": "distil", "teacher": None}, "teacher is None; name a model or LOGITS"),
        ({"objective": "sft"}, "teacher is 'big', and objective is 'sft'; leave objective out"),
        ({"teacher": None, "distil_weight": 0.2}, "distil_weight is 0.2, and teacher is None"),
        ({"teacher": None, "distil_temperature": 2}, "distil_temperature is 2.0, and teacher is"),
        ({"teacher": None, "distil_divergence": "reverse"}, "'reverse', and teacher is None"),
        ({"distil_weight": 0}, "distil_weight is 0; expected a number of more than 0 and at most"),
        ({"distil_temperature": 0.0}, "distil_temperature is 0.0; expected a number of at least"),
        ({"distil_divergence": "both"}, "distil_divergence is 'both'; expected one of forward"),
    ],
)
def test_settings_that_make_no_sense_together_are_refused(fields: dict[str, Any], message: str):
    with pytest.raises(CurateError) as error:
        config(**fields)
    assert message in str(error.value)


def test_whoever_names_a_teacher_is_taught():
    assert config().objective == "distil"
    assert config(teacher=None).objective == "sft"


def test_a_teacher_of_another_vocabulary_is_refused(places: dict[str, str], tmp_path: Path):
    big = write_model(tmp_path / "big", vocab_size=40)
    with pytest.raises(CurateError, match="has 40 ids and the model that learns 32"):
        run(places, tmp_path / "out", big)
    write_tokenizer(tmp_path / "big")
    with pytest.raises(CurateError, match="the model that learns has no tokenizer beside it"):
        run(places, tmp_path / "out", str(tmp_path / "big"))
    assert not (tmp_path / "out").exists()


def with_words(folder: Path, **changes: str) -> None:
    """A tokenizer beside the model, some of whose words have other texts."""
    write_tokenizer(folder)
    path = folder / "tokenizer.json"
    text = path.read_text("utf-8")
    for old, new in changes.items():
        assert f'"{old}"' in text
        text = text.replace(f'"{old}"', f'"{new}"')
    path.write_text(text, "utf-8")


def test_tokens_are_compared_and_not_how_many_there_are(places: dict[str, str], tmp_path: Path):
    small, big = tmp_path / "small", tmp_path / "big"
    write_model(small), with_words(small)
    write_model(big, hidden_size=32), with_words(big, w9="dog")
    with pytest.raises(CurateError) as error:
        run(places, tmp_path / "out", str(big), model=str(small))
    assert "1 of 32 ids differ (id 9 is 'dog' there and 'w9' here)" in str(error.value)


def test_rows_of_a_padded_vocabulary_are_left_out_and_said(places: dict[str, str], tmp_path: Path):
    """Qwen2.5 has 151,936 or 152,064 rows for the same tokens; a row that is none is left out."""
    small, big = tmp_path / "small", tmp_path / "big"
    write_model(small, vocab_size=34), with_words(small)
    write_model(big, hidden_size=32, vocab_size=40), with_words(big)
    result, lines = run(places, tmp_path / "out", str(big), model=str(small), num_train_epochs=1)
    text = "\n".join(lines)
    assert "teacher: 8 of the 40 ids of" in text and "teacher: 2 of the 34 ids of" in text
    assert result.table[0].held_out.teacher_kl > 0


def test_a_teacher_that_is_too_short_for_a_row_is_refused(places: dict[str, str], tmp_path: Path):
    short = write_model(tmp_path / "short", max_position_embeddings=5)
    with pytest.raises(CurateError, match=r"40 rows are longer than the 5 positions of .*short"):
        run(places, tmp_path / "out", short)
