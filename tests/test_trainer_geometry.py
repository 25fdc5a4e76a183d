"""What training changed inside a model: each measure against its definition, and its pitfalls."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import curate
from curate.base.errors import CurateError
from curate.cli import main
from curate.evals import diagnosis_page
from tests.checkpoint_toys import runs, write_answers, write_base
from tests.trainer_toys import documents, silent, toy_model
from trainer.after.geometry import spectrum
from trainer.after.geometry.blocks import Products
from trainer.after.geometry.diagnosis import compare
from trainer.after.geometry.layers import Second, shift

torch = pytest.importorskip("torch")
# pygal's import hook is of a kind that Python 3.11 warns about at every later import.
pytestmark = pytest.mark.filterwarnings("ignore:PluginImportFixer:ImportWarning")


def drawn(*shape: int, seed: int = 0) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(size: int) -> Any:
    return torch.linalg.qr(drawn(size, size, seed=9)).Q


def moved(first: Any, second: Any, parts: int = 3) -> Any:
    """The movement, from products that are added part by part."""
    products = Products(first.shape[1], torch.device("cpu"))
    for one, other in zip(first.chunk(parts), second.chunk(parts), strict=True):
        products.add(one, other)
    return products.measured()


def centred(rows: Any) -> Any:
    return rows - rows.mean(dim=0)


def test_the_shift_of_outputs_is_that_of_the_vectors_themselves():
    """Streamed through C = E[h ht]; and a share a of a change shifts a^2 as much."""
    change, weight, read = drawn(5, 7, seed=1), drawn(5, 7, seed=2), drawn(40, 7, seed=3)
    second = Second(7, torch.device("cpu"))
    for part in read.chunk(6):
        second.add(part)
    found = shift(change, weight, second.mean())
    through = (read @ change.T).square().sum(dim=1).mean()
    assert found.relative == pytest.approx(
        float(through / (read @ weight.T).square().sum(dim=1).mean()), rel=1e-9
    )
    sizes = change.square().sum() * read.square().sum(dim=1).mean()
    assert found.aligned == pytest.approx(float(through / sizes), rel=1e-9)
    less = shift(0.3 * change, weight, second.mean())
    assert less.relative / found.relative == pytest.approx(0.09, rel=1e-9)
    assert less.aligned == pytest.approx(found.aligned, rel=1e-9)


def test_movements_are_those_of_their_definitions():
    """Procrustes by the rotation itself, Gram by all cosines, debiased CKA by kernels."""
    first = drawn(30, 6) + 3.0
    second = first @ drawn(6, 6, seed=4) + 0.5 * drawn(30, 6, seed=5) - 1.0
    found = moved(first, second)
    x, y = centred(first), centred(second)
    u, _, v = torch.linalg.svd(y.T @ x)
    expected = (y @ (u @ v) - x).norm() / x.norm()
    assert found.procrustes == pytest.approx(float(expected), rel=1e-9)
    z0, z1 = (rows / rows.norm(dim=1, keepdim=True) for rows in (first, second))
    gram = (z1 @ z1.T - z0 @ z0.T).norm() / (z0 @ z0.T).norm()
    assert found.gram == pytest.approx(float(gram), rel=1e-9)
    cka = (x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())
    assert found.cka == pytest.approx(float(cka), rel=1e-9)
    kernels = [first @ first.T, second @ second.T]
    wanted = hsic(*kernels) / math.sqrt(hsic(kernels[0], kernels[0]) * hsic(*kernels[1:] * 2))
    assert found.debiased == pytest.approx(wanted, rel=1e-6)


def hsic(one: Any, other: Any) -> float:
    """Song et al. 2012, equation 5, as it stands there, times n (n - 3)."""
    n = len(one)
    k, m = (kernel - torch.diag(kernel.diag()) for kernel in (one, other))
    ones = torch.ones(n, 1, dtype=torch.float64)
    alone = (ones.T @ k @ ones) * (ones.T @ m @ ones) / ((n - 1) * (n - 2))
    return float((k @ m).trace() + alone - 2 / (n - 2) * (ones.T @ k @ m @ ones))


def test_a_rotation_is_no_movement():
    first = drawn(60, 8) + 2.0
    found = moved(first, first @ rotation(8))
    # A difference of equal sums is known to the root of what they round by.
    assert found.procrustes < 1e-6 and found.gram < 1e-6
    assert found.cka == pytest.approx(1.0, abs=1e-9)
    assert found.debiased == pytest.approx(1.0, abs=1e-9)


def test_twice_as_long_after_a_rotation_is_seen_by_procrustes_alone():
    first = centred(drawn(60, 8))
    found = moved(first, 2 * first @ rotation(8))
    assert found.procrustes == pytest.approx(1.0, abs=1e-9)
    assert found.gram < 1e-6 and found.cka == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("rows", "plain"), [(50, 0.95), (200, 0.83)])
def test_plain_cka_of_few_unrelated_rows_is_near_1_and_the_debiased_near_0(rows: int, plain: float):
    found = moved(drawn(rows, 1000), drawn(rows, 1000, seed=1))
    assert found.cka == pytest.approx(plain, abs=0.01)
    assert found.chance == pytest.approx(plain, abs=0.01) and found.is_doubtful
    assert found.debiased is not None and abs(found.debiased) <= 0.03


def test_one_large_coordinate_that_both_share_hides_all_others():
    shared = 1000 * drawn(100, 1, seed=2)
    first, second = (torch.cat([shared, drawn(100, 9, seed=seed)], dim=1) for seed in (3, 4))
    found = moved(first, second)
    assert found.cka == pytest.approx(1.0, abs=1e-4) and found.procrustes < 0.03


def test_few_rows_have_no_debiased_cka():
    first = drawn(3, 2)
    assert moved(first, first, parts=1).debiased is None


def test_the_spectrum_of_a_change_is_in_directions_of_the_weight():
    """Of W0 = diag(4, 2, 1): a change of one direction, and one of all alike."""
    weight = torch.diag(torch.tensor([4.0, 2.0, 1.0]))
    one = torch.zeros(3, 3)
    one[0, 0] = 2.0
    found = spectrum.profile(one, weight)
    assert found.lost == pytest.approx((0.5, 0.0, 0.0)) == found.moved
    assert found.effective_rank == pytest.approx(1.0)
    # Means over those of five that there are: 2/3 each.
    assert found.spikiness == pytest.approx((4 / 3 + 2 / 3 + 2 / 3) / 3)
    even = spectrum.profile(0.5 * torch.eye(3), weight)
    assert even.effective_rank == pytest.approx(3.0) and even.spikiness == pytest.approx(0.0)
    assert even.moved == pytest.approx((0.125, 0.25, 0.5))
    turned = spectrum.profile(torch.tensor([[0.0, 0, 0], [1.0, 0, 0], [0, 0, 0]]), weight)
    assert turned.lost == pytest.approx((0.0, 0.0, 0.0), abs=1e-12)
    assert turned.moved == pytest.approx((0.25, 0.0, 0.0))
    assert spectrum.profile(torch.zeros(3, 3), weight).effective_rank is None


def test_a_model_beside_itself_has_not_moved_and_beside_another_it_has():
    same = compare(toy_model(), toy_model(), [documents()], log=silent)
    assert same.tokens == 26 and len(same.blocks) == 2 and len(same.layers) == 14
    assert all(each.movement.procrustes < 1e-6 for each in same.blocks)
    assert all(each.size == each.relative == 0.0 for each in same.layers)
    assert "no weight of a linear layer changed" in same.notices
    other = compare(toy_model(), toy_model(seed=1), [documents()], log=silent)
    assert all(each.movement.procrustes > 0.3 for each in other.blocks)
    assert all(each.relative > 0.3 for each in other.layers)
    assert any("plain CKA of 26 rows is about 0.38" in line for line in other.notices)


def test_a_change_of_one_layer_is_seen_there_and_from_its_block_on():
    tuned = toy_model()
    with torch.no_grad():
        tuned.model.layers[1].mlp.up_proj.weight *= 1.5
    found = compare(toy_model(), tuned, [documents()], log=silent)
    changed = [each for each in found.layers if each.size]
    assert [(each.block, each.name) for each in changed] == [(2, "mlp.up_proj")]
    assert changed[0].size == pytest.approx(0.5, rel=1e-5)
    assert changed[0].relative == pytest.approx(0.25, rel=1e-5)
    assert changed[0].lost == pytest.approx(0.5, rel=1e-4) == changed[0].moved
    assert found.blocks[0].movement.procrustes < 1e-6 < 1e-3 < found.blocks[1].movement.procrustes


def test_models_that_are_not_built_alike_are_refused():
    with pytest.raises(CurateError, match=r"not built alike: self_attn.q_proj of block 1.*--model"):
        compare(toy_model(), toy_model(hidden_size=32), [documents()], log=silent)
    with pytest.raises(CurateError, match="not as many in both"):
        compare(toy_model(), toy_model(num_hidden_layers=1), [documents()], log=silent)


@pytest.mark.parametrize(
    ("place", "number"), [("mlp", math.nan), ("mlp", 3e38), ("norm", math.inf)]
)
def test_numbers_that_are_not_finite_are_refused_by_where_they_are(place: str, number: float):
    """In a weight, in the difference of two weights, and in what a block gives."""
    nets = toy_model(), toy_model()
    with torch.no_grad():
        for net, sign in zip(nets, (1, -1), strict=True):
            block = net.model.layers[1]
            weight = block.mlp.up_proj if place == "mlp" else block.input_layernorm
            weight.weight.fill_(sign * number)
    message = "the change of mlp.up_proj of block 2" if place == "mlp" else "what block 2 gives"
    with pytest.raises(CurateError, match=f"{message} holds NaN or infinite values"):
        compare(*nets, [documents()], log=silent)


def test_a_weight_of_zeros_and_directions_of_none_have_no_share(tmp_path: Path):
    base, tuned = toy_model(), toy_model(seed=1)
    with torch.no_grad():
        base.model.layers[0].mlp.up_proj.weight.zero_()
        base.model.layers[1].mlp.up_proj.weight[1:] = base.model.layers[1].mlp.up_proj.weight[0]
    found = compare(base, tuned, [documents()], log=silent)
    both = [each for each in found.layers if each.name == "mlp.up_proj"]
    assert both[0].lost is None and both[0].moved is None
    assert both[1].lost is not None and both[1].lost < 10  # of the one direction there is
    assert any("that are all 0 (mlp.up_proj of block 1)" in line for line in found.notices)
    assert diagnosis_page.html(found).count("<svg") == 9


def test_cka_does_not_depend_on_the_size_of_the_numbers():
    first, second = drawn(40, 6), drawn(40, 6, seed=1)
    assert moved(1e-8 * first, 1e-8 * second).cka == pytest.approx(moved(first, second).cka)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_base(tmp_path_factory.mktemp("geometry") / "base")


@pytest.fixture(scope="module")
def tuned(base: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    tokens = write_answers(tmp_path_factory.mktemp("geometry") / "tokens")
    own = {"houlsby": {"bottleneck_width": 4}, "lora": {"lora_r": 2}}

    def fields(method: str) -> dict[str, Any]:
        return {"num_train_epochs": 2, "batch_size": 8, "learning_rate": 0.01} | own.get(method, {})

    return runs(tokens, base, tmp_path_factory, fields)


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "general.txt"
    path.write_text("w4 w9 w7 w11 w5\n\nw8 w8 w20 w6 w25 w10 w4\n\nw12 w13 w14", "utf-8")
    return str(path)


def test_an_adapter_a_checkpoint_and_an_epoch_find_their_base(tuned: Any, base: str, text: str):
    run = tuned("lora")
    found = [
        curate.diagnose(source, text)
        for source in (run, run / "adapter", run / "epochs" / "epoch-2")
    ]
    assert {one.base for one in found} == {base} and found[0].tokens == 18
    for one in found[1:]:
        assert [each.size for each in one.layers] == pytest.approx(
            [each.size for each in found[0].layers], rel=1e-3, abs=1e-7
        )
    assert all(each.effective_rank is not None for each in found[1].layers)
    # A product of rank 2 changes at most two directions.
    assert all(each.effective_rank < 2 + 1e-6 for each in found[1].layers)
    quick = curate.diagnose(run, text, spectra=False)
    assert [each.relative for each in quick.layers] == [each.relative for each in found[0].layers]
    assert all(each.lost is None and each.effective_rank is None for each in quick.layers)


def test_layers_between_those_of_the_base_move_its_outputs_and_no_weight(tuned: Any, text: str):
    found = curate.diagnose(tuned("houlsby"), text)
    assert all(each.size == 0.0 for each in found.layers)
    assert all(each.movement.procrustes > 1e-3 for each in found.blocks)


def test_a_learnt_prompt_and_a_model_without_a_base_are_refused(
    tuned: Any, base: str, text: str, tmp_path: Path
):
    for source, message in (
        (tuned("prompt"), "is a learnt prompt, which changes no layer"),
        (base, "does not say what it was trained from; name it with --model"),
        (tmp_path / "nowhere", "there is no such folder"),
    ):
        with pytest.raises(CurateError, match=message):
            curate.diagnose(source, text)
    with pytest.raises(CurateError, match="no such file or folder"):
        curate.diagnose(tuned("lora"), tmp_path / "nothing.txt")


def test_ids_that_only_one_of_both_models_has_are_refused(base: str, text: str, tmp_path: Path):
    small = write_base(tmp_path / "small", vocab_size=8)
    for source, of in ((small, base), (base, small)):
        with pytest.raises(CurateError, match="its largest id is 25, but the model has 8"):
            curate.diagnose(source, text, model=of)


def test_a_folder_holds_the_page_and_all_numbers_and_the_same_call_gives_the_same_bytes(
    tuned: Any, text: str, tmp_path: Path
):
    found = curate.diagnose(tuned("lora"), text, out=tmp_path / "out")
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert files.keys() == {"diagnosis.html", "diagnosis.json", "manifest.json"}
    assert json.loads(files["diagnosis.json"]) == json.loads(json.dumps(found.as_dict()))
    curate.diagnose(tuned("lora"), text, out=tmp_path / "again")
    assert (tmp_path / "again" / "diagnosis.html").read_bytes() == files["diagnosis.html"]
    with pytest.raises(CurateError, match="made from other data"):
        curate.diagnose(tuned("houlsby"), text, out=tmp_path / "out")


def test_the_page_has_a_chart_for_each_measure_and_escapes_what_others_wrote(
    tuned: Any, text: str, tmp_path: Path
):
    odd = tmp_path / "<b>\u202e.txt"
    odd.write_text(Path(text).read_text("utf-8"), "utf-8")
    found = curate.diagnose(tuned("lora"), odd)
    page = diagnosis_page.html(found)
    assert page.count("<svg") == 9 and "&lt;b&gt;" in page and "<b>" not in page
    assert "\u202e" not in page and "<script" not in page and "default-src &#39;none&#39;" in page
    shown = [chart.title for chart in diagnosis_page.block_charts(found)]
    assert shown == ["Procrustes distance", "Gram distance", "CKA"]


def test_the_command_prints_tables_or_numbers_and_writes_a_page(
    tuned: Any, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = str(tuned("lora"))
    page = tmp_path / "page.html"
    assert main(["diagnose", run, "--text", text, "--out", str(page)]) == 0
    shown = capsys.readouterr()
    assert "procrustes" in shown.out and f"written to {page}" in shown.out
    assert "plain CKA of 18 rows" in shown.err
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert main(["diagnose", run, "--text", text, "--json", "--no-spectra"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert len(numbers["blocks"]) == 2 and len(numbers["layers"]) == 14
    assert np.isfinite([each["procrustes"] for each in numbers["blocks"]]).all()
    assert main(["diagnose", run, "--text", text, "--text", text, "--tokens", "3"]) == 1
    assert "--tokens is 3, and 2 texts share them" in capsys.readouterr().err
    assert main(["diagnose", run, "--text", text, "--tokens", "2"]) == 1
    assert "fewer than 4 tokens" in capsys.readouterr().err
