"""Tasks that are answered with one of a few labels: how even the labels are, and which words of
the input give them away (competency problems, 2104.08646).
"""

from __future__ import annotations

from statistics import NormalDist

import polars as pl

from filters.common.codes import text_codes, word_codes

LABEL_CHARACTERS = 40
LABEL_WORDS = 3
MOST_LABELS = 20
LEAST_OF_LABEL = 5  # rows; rarer answers are no labels
LABELLED = 0.9  # share of a task's rows that its labels must cover
MOST_WORDS = 200  # of an input that are looked at
LEAST_WITH_WORD = 20  # rows in which a word must stand to be tested
ALPHA = 0.05  # chance of any false alarm in all of a task's tests, after Bonferroni


def label_columns(records: pl.DataFrame) -> list[pl.Series]:
    """The codes (u64) of `label_texts`."""
    texts = label_texts(records)
    return [text_codes(texts["task"]), text_codes(texts["label"]), word_codes(texts["words"])]


def label_texts(records: pl.DataFrame) -> pl.DataFrame:
    """`task`, and of rows with a short answer `label` and `words`; these are null for all others.

    A row's task is its category, or else the first line of its prompt; its label the answer in
    small letters without marks at the ends; its words those of the rest of the prompt.
    """
    label = pl.col("response").str.strip_chars(" \t\r\n.!,;:\"'“”`*").str.to_lowercase()
    first = pl.col("prompt").str.strip_chars().str.splitn("\n", 2)
    short = (
        (label.str.len_chars() <= LABEL_CHARACTERS)
        & (label != "")
        & (label.str.count_matches(r"\s+") < LABEL_WORDS)
    )
    frame = records.select(
        task=pl.coalesce("category", first.struct.field("field_0")).str.head(200),
        label=pl.when(pl.col("response").str.len_bytes() <= 4 * LABEL_CHARACTERS + 40).then(
            pl.when(short).then(label)
        ),
        rest=pl.coalesce(first.struct.field("field_1"), first.struct.field("field_0")),
    )
    words = pl.col("rest").str.to_lowercase().str.extract_all(r"[\p{L}\p{N}']+")
    # Only short answers can be labels, so only their prompts are split.
    at = frame["label"].is_not_null().arg_true()
    split = (
        frame[at].select(words.list.head(MOST_WORDS).list.unique(maintain_order=True)).to_series()
    )
    positions = pl.DataFrame({"at": at, "words": split})
    everyone = frame.select("task", "label").with_row_index("at")
    joined = everyone.join(positions, on="at", how="left", maintain_order="left")
    return joined.drop("at").cast({"words": pl.List(pl.String)})


def fixed_label_tasks(index: pl.DataFrame, min_rows: int) -> pl.DataFrame:
    """`at`, `task`, `label`, `words` of the rows of tasks that a few labels answer.

    `index` has one line per row with its position `at`. A task needs `min_rows` rows, 2 to 20
    labels of five rows or more, and these must cover nine tenths of it. Rows whose own task is
    smaller than that belong to the task that their file is.
    """
    small = pl.len().over("task") < min_rows
    of_file = text_codes(index["record.source"])
    index = index.with_columns(task=pl.when(small).then(of_file).otherwise("task"))
    sizes = index.group_by("task").agg(rows=pl.len()).filter(pl.col("rows") >= min_rows)
    held = index.filter(pl.col("label").is_not_null()).select("at", "task", "label", "words")
    held = held.join(sizes, on="task", how="inner", maintain_order="left")
    held = held.filter(pl.len().over("task", "label") >= LEAST_OF_LABEL)
    labels = pl.col("label").n_unique().over("task")
    covered = pl.len().over("task") / pl.col("rows")
    return held.filter(labels.is_between(2, MOST_LABELS), covered >= LABELLED).drop("rows")


def label_counts(tasks: pl.DataFrame) -> pl.DataFrame:
    """For each task and label of `fixed_label_tasks`: count, rows of the task, and prior."""
    counts = tasks.group_by("task", "label").agg(count=pl.len())
    counts = counts.with_columns(rows=pl.col("count").sum().over("task"))
    return counts.with_columns(prior=pl.col("count") / pl.col("rows"))


def label_priors(counts: pl.DataFrame) -> pl.DataFrame:
    """Of each task: rows, labels, top label and its share, entropy and its greatest value (bits).

    `counts` is `label_counts` in texts, for ties go by name.
    """
    return (
        counts.sort(["count", "label"], descending=[True, False])
        .group_by("task", maintain_order=True)
        .agg(
            rows=pl.col("rows").first(),
            labels=pl.len(),
            top=pl.col("label").first(),
            share=pl.col("prior").first(),
            entropy=-(pl.col("prior") * pl.col("prior").log(2)).sum(),
            most=pl.len().log(2),
        )
        .sort(["rows", "task"], descending=[True, False])
    )


def telling_words(tasks: pl.DataFrame, counts: pl.DataFrame) -> pl.DataFrame:
    """The words whose labels are not spread as the priors are, in no particular order.

    task, word, label, rows with the word, share of the label among them, prior, and
    z = (share - prior) / sqrt(prior * (1 - prior) / rows), two-sided, Bonferroni over the words
    and labels of the task.
    """
    words = tasks.explode("words", empty_as_null=True).rename({"words": "word"}).drop_nulls("word")
    words = words.with_columns(n=pl.len().over("task", "word")).filter(
        pl.col("n") >= LEAST_WITH_WORD
    )
    pairs = words.group_by("task", "word", "n", "label").agg(both=pl.len())
    # Labels that a word never occurs with are deviations too, so every word meets every label.
    every = (
        words.select("task", "word", "n")
        .unique()
        .join(counts.select("task", "label", "prior"), on="task", how="inner")
    )
    pairs = every.join(pairs, on=["task", "word", "n", "label"], how="left").with_columns(
        share=pl.col("both").fill_null(0) / pl.col("n")
    )
    prior = pl.col("prior")
    scored = pairs.with_columns(
        z=(pl.col("share") - prior) / (prior * (1 - prior) / pl.col("n")).sqrt(),
        tests=pl.len().over("task"),
    )
    # One number per task: the z that a chance of ALPHA in all its tests together is beyond.
    normal = NormalDist()
    limits = {tests: -normal.inv_cdf(ALPHA / (2 * tests)) for tests in scored["tests"].unique()}
    scored = scored.with_columns(
        limit=pl.col("tests").replace_strict(limits, return_dtype=pl.Float64)
    )
    return scored.filter(pl.col("z").abs() > pl.col("limit")).select(
        "task", "word", "label", pl.col("n").alias("rows"), "share", "prior", "z"
    )
