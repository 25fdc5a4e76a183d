"""`near` with an index: a new dump against all that was curated before."""

from __future__ import annotations

import json

import datasketch
import polars as pl
import pytest

from curate.base.errors import CurateError
from curate.pipeline import runner as pipeline
from curate.pipeline.judging import judge
from curate.pipeline.result import remember
from curate.pipeline.steps import Step, bind_steps
from filters.common.shingles import shingle_hash
from filters.dedup.near.filter import Near, signature_column
from tests.near_rows import records

NOTE = "The old lighthouse has stood on the northern coast for a hundred and forty years now"
BREAD = "Mix flour and water with salt and yeast and let it rise and then bake it for an hour"
RIVER = "Rivers carry sand and stones to the sea where they settle into layers over the ages"


def frame(*texts):
    rows = records([("", text) for text in texts])
    return rows.with_columns(source=pl.lit("dump.jsonl"), line=pl.col("row") + 1)


def ran(step, rows, lost=()):
    """One run: judge, and remember what is kept (without `lost`, which later steps drop)."""
    bound = step.bind(lambda paths: pl.DataFrame())
    _, verdicts, findings = judge(bound, rows)
    bound.remember(rows.filter(verdicts["keep"] & ~rows["row"].is_in(list(lost))))
    return verdicts, findings


def step_of(folder, **wanted):
    return Near(index=str(folder / "index"), threshold=0.6, **wanted)


@pytest.mark.parametrize("wanted", [{}, {"similarity": "rouge_l"}, {"exempt": "same_prompt"}])
def test_what_was_curated_before_is_dropped_and_named(tmp_path, wanted):
    step = step_of(tmp_path, **wanted)
    first = frame(NOTE, BREAD)
    found, _ = ran(step, first)
    assert found["keep"].all()
    found, findings = ran(step, frame(RIVER, BREAD + " or two", NOTE, RIVER + " again"))
    assert found["keep"].to_list() == [True, False, False, False]
    assert found["reason"].to_list() == [
        None,
        "already_curated",
        "already_curated",
        "near_duplicate",
    ]
    assert found["duplicate_of"].to_list() == [None, None, None, 0]
    assert found["evidence"][1] == f"{first['id'][1]} at dump.jsonl:2"
    assert 0.6 <= found["score"][1] < 1
    assert found["score"][2] == 1
    assert findings.numbers["curated_before"] == 2
    assert findings.numbers["already_curated"] == 2
    assert findings.tables["clusters"]["row"].to_list() == [0, 3]


def test_the_same_run_again_is_the_same_and_adds_nothing(tmp_path):
    step, one, two = step_of(tmp_path), frame(NOTE, BREAD, NOTE + " still"), frame(RIVER, BREAD)
    first, then = ran(step, one), ran(step, two)
    files = {path.name: path.read_bytes() for path in (tmp_path / "index").iterdir()}
    assert len(files) == 3  # the manifest and two batches
    for rows, (verdicts, findings) in ((two, then), (one, first)):
        again, words = ran(step, rows)
        assert again.equals(verdicts)
        assert words.sentences == findings.sentences
    assert {path.name: path.read_bytes() for path in (tmp_path / "index").iterdir()} == files


def test_a_dump_that_has_grown_gives_only_what_is_new(tmp_path):
    ran(step_of(tmp_path), frame(NOTE, BREAD))
    found, _ = ran(step_of(tmp_path), frame(NOTE, BREAD, RIVER))
    assert found["keep"].to_list() == [False, False, True]


def test_only_rows_that_survive_the_whole_run_are_added(tmp_path):
    ran(step_of(tmp_path), frame(NOTE, BREAD), lost=[1])
    found, _ = ran(step_of(tmp_path), frame(RIVER, BREAD, NOTE))
    assert found["keep"].to_list() == [True, True, False]


def test_short_text_is_compared_exactly_with_the_index_too(tmp_path):
    ran(step_of(tmp_path), frame("Paris", ""))
    found, _ = ran(step_of(tmp_path), frame("Berlin", "paris!", ""))
    assert found["keep"].to_list() == [True, False, True]


def test_connected_clusters_do_not_run_through_the_index(tmp_path):
    step = step_of(tmp_path, clusters="connected")
    ran(step, frame(NOTE))
    _, findings = ran(step, frame(NOTE + " a", NOTE + " b", RIVER, RIVER + " now"))
    assert findings.tables["clusters"]["row"].to_list() == [2, 3]


def test_an_index_of_other_settings_is_refused_before_any_work(tmp_path):
    ran(step_of(tmp_path), frame(NOTE))
    with pytest.raises(CurateError, match=r'built with field: "both", but this step has field'):
        step_of(tmp_path, field="prompt").bind(lambda paths: pl.DataFrame())
    Near(index=str(tmp_path / "index"), threshold=0.9).bind(lambda paths: pl.DataFrame())


def test_an_index_is_one_whichever_row_is_kept(tmp_path):
    keeps = ("first", "longest", "best")
    for at, keep in enumerate(keeps):
        found, _ = ran(step_of(tmp_path, keep=keep), frame(NOTE, (BREAD, RIVER, NOTE)[at]))
        assert found["keep"].to_list() == [[True, True], [False, True], [False, False]][at]
    settings = json.loads((tmp_path / "index" / "manifest.json").read_text())["settings"]
    compared = {"similarity", "field", "short", "shingle", "size", "tokenizer", "stem", "exempt"}
    assert settings.keys() == compared | {"measure", "protected"}
    for batch in (tmp_path / "index").glob("*.parquet"):
        kept = pl.read_parquet(batch).columns
        assert kept[:5] == ["id", "source", "line", "shingles", "key"]
        assert kept[5:] == ["words", "answer", "numbers"]


def test_an_index_that_calls_a_setting_by_its_former_name_is_still_one(tmp_path):
    ran(step_of(tmp_path), frame(NOTE))
    path = tmp_path / "index" / "manifest.json"
    path.write_text(path.read_text().replace('"exempt"', '"spare"'))
    verdicts, _ = ran(step_of(tmp_path), frame(NOTE, BREAD))
    assert verdicts["keep"].to_list() == [False, True]
    with pytest.raises(CurateError, match=r'built with exempt: "none", but this step has exempt'):
        step_of(tmp_path, exempt="same_prompt").bind(lambda paths: pl.DataFrame())


def test_a_folder_that_is_no_index_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CurateError, match=r"has no manifest.json but is not empty"):
        Near(index=str(tmp_path)).bind(lambda paths: pl.DataFrame())
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(CurateError, match=r"not the manifest of an index"):
        Near(index=str(tmp_path)).bind(lambda paths: pl.DataFrame())


def test_a_missing_batch_is_an_error(tmp_path):
    ran(step_of(tmp_path), frame(NOTE))
    (batch,) = json.loads((tmp_path / "index" / "manifest.json").read_text())["batches"]
    (tmp_path / "index" / f"{batch}.parquet").unlink()
    with pytest.raises(CurateError, match=r"the manifest names it, but it cannot be read"):
        ran(step_of(tmp_path), frame(BREAD))


def test_a_datasketch_index_can_be_built_from_the_batches(tmp_path):
    step = step_of(tmp_path)
    rows = frame(NOTE, BREAD)
    ran(step, rows)
    lsh = datasketch.MinHashLSH(num_perm=128, params=(32, 4))
    batches = pl.read_parquet(tmp_path / "index" / "*.parquet")
    signatures = signature_column(step, batches).to_numpy()
    for name, values in zip(batches["id"], signatures, strict=True):
        lsh.insert(name, datasketch.MinHash(seed=0, hashvalues=values, scheme="affine32"))
    asked = datasketch.MinHash(128, seed=0, hashfunc=shingle_hash)
    words = (NOTE + " indeed").lower().split()
    asked.update_batch([" ".join(words[i : i + 3]).encode() for i in range(len(words) - 2)])
    assert lsh.query(asked) == [rows["id"][0]]


def test_without_an_index_nothing_is_remembered():
    assert Near().bind(lambda paths: pl.DataFrame()) == Near()
    assert Near().remembers_in is None


def test_a_run_binds_its_steps_again_and_still_remembers_what_it_kept(tmp_path):
    steps = bind_steps([Step("near", step_of(tmp_path))])
    for height in (2, 0):  # the second time all is curated already
        rows = frame(NOTE, BREAD) if height else frame(BREAD)
        result = pipeline.run(rows.drop("prompt", "response"), steps)
        remember(steps, result)
        assert int(result.kept.sum()) == height


def test_two_steps_on_one_index_are_refused_however_they_name_it(tmp_path):
    (tmp_path / "same").mkdir()
    other = Near(field="prompt", index=str(tmp_path / "same" / ".." / "index"))
    steps = [Step("near", step_of(tmp_path)), Step("near-2", other)]
    with pytest.raises(CurateError, match=r"steps 'near' and 'near-2' both add to .*index; give"):
        bind_steps(steps)
    apart = Step("near-2", Near(field="prompt", index=str(tmp_path / "prompts")))
    assert len(bind_steps([steps[0], apart])) == 2


@pytest.mark.parametrize("wanted", [{}, {"similarity": "rouge_l"}, {"exempt": "same_prompt"}])
def test_a_run_that_kept_nothing_can_be_repeated_after_another(tmp_path, wanted):
    step, rows = step_of(tmp_path, **wanted), frame(NOTE, BREAD, NOTE + " still")
    first, words = ran(step, rows, lost=(0, 1))
    ran(step, frame(NOTE, BREAD, RIVER))
    again, said = ran(step, rows, lost=(0, 1))
    assert again.equals(first)
    assert again["reason"].to_list() == [None, None, "near_duplicate"]
    assert (said.sentences, said.numbers) == (words.sentences, words.numbers)
    # Others are compared with what was kept, before and after an empty batch.
    third, findings = ran(step, frame(RIVER, NOTE + " then"))
    assert third["reason"].to_list() == ["already_curated"] * 2
    assert findings.numbers["curated_before"] == 3


def test_a_run_of_which_everything_was_curated_before_can_be_repeated(tmp_path):
    step, rows = step_of(tmp_path), frame(BREAD + " or two", NOTE)
    ran(step, frame(NOTE, BREAD))
    first, words = ran(step, rows)
    assert first["reason"].to_list() == ["already_curated"] * 2
    ran(step, frame(RIVER, BREAD + " or two"))
    again, said = ran(step, rows)
    assert again.equals(first)
    assert (said.sentences, said.numbers) == (words.sentences, words.numbers)


def test_a_run_whose_steps_before_left_no_rows_can_be_repeated(tmp_path):
    step, none = step_of(tmp_path), frame(NOTE).head(0)
    _, words = ran(step, none)
    ran(step, frame(NOTE))
    _, said = ran(step, none)
    assert said.numbers == words.numbers
    assert said.numbers["curated_before"] == 0


def test_an_index_whose_empty_runs_have_no_place_is_still_read(tmp_path):
    step, rows = step_of(tmp_path), frame(NOTE, BREAD)
    ran(step, frame(RIVER))
    ran(step, rows, lost=(0, 1))
    # As earlier versions left it: the batch of the second run was not written.
    path = tmp_path / "index" / "manifest.json"
    manifest = json.loads(path.read_text())
    (tmp_path / "index" / f"{manifest['batches'].pop()}.parquet").unlink()
    path.write_text(json.dumps(manifest))
    found, findings = ran(step, frame(RIVER + " again", BREAD))
    assert found["reason"].to_list() == ["already_curated", None]
    assert findings.numbers["curated_before"] == 1


def test_a_repeated_run_says_what_it_looks_at(tmp_path):
    step, rows = step_of(tmp_path), frame(NOTE, BREAD)
    ran(step, rows)
    ran(step, frame(RIVER))
    _, findings = ran(step, rows)
    wanted = "0 rows are nearly one of 0 that the index had before a first run over these very rows"
    assert wanted in findings.sentences
