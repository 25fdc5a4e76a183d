"""Going back from checkpoints that were trained too long: full, LoRA and OFT, epochs and paths.

    python benchmarks/rewinding.py [--model stories|smollm2] [--seeds 3] [--work DIR] [--docs]

A small model learns GPTeacher's role-play until its held-out loss rises. LoRA and OFT have as many
trained parameters as ranks and blocks allow. Every epoch is kept, and `curate rewind` measures all
of them, the path from the base to the last, the path by layer, and the path to the best epoch. What
was known before is a text that the base writes by itself: the rise of the loss on it is an estimate
of KL(base || tuned).
`--docs` writes tables and picture into docs/rewind.md; `--work` keeps models, so that a run can go
on.

`stories` is `stories260k-hf` of the test data, `smollm2` SmolLM2-135M-Instruct (small_model.py);
`--forecast` says how long a run will take, and trains nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

sys.path.insert(0, str(Path(__file__).parent.parent))

from rows import DATA, need

DOCS = Path(__file__).parent.parent / "docs"
RECIPE: list[Any] = ["exact", "near", "quality", {"length": {"action": "cap"}}]
BOUNDS = (0.02, 0.05, 0.1, 0.2, 0.5)
TRACKS = {
    "epoch": "epochs",
    "path": "path to the last",
    "lines": "the same by layer",
    "best": "path to the best epoch",
}


@dataclasses.dataclass(frozen=True)
class Setting:
    """A model, how much it reads, and what each method trains on it.

    Rates of `stories` are those with the lowest held-out loss of a few, tried on a seed that is not
    reported; those of `smollm2` are the usual ones.
    `text` is how much the base writes: documents, and tokens of each.
    """

    about: str
    rows: int
    longest: int
    epochs: int
    methods: dict[str, dict[str, Any]]
    text: tuple[int, int]


SETTINGS = {
    "stories": Setting(
        "stories260k-hf, 260,032 parameters",
        rows=140,
        longest=512,
        epochs=10,
        methods={
            "full": {"learning_rate": 2e-3},
            "lora": {"learning_rate": 3e-3, "lora_r": 8, "lora_alpha": 16.0},
            "oft": {"learning_rate": 3e-3, "rotation_block": 32},
        },
        text=(48, 256),
    ),
    "smollm2": Setting(
        "SmolLM2-135M-Instruct, its weights once rounded to 4 bits",
        rows=64,
        longest=256,
        epochs=3,
        methods={
            "full": {"learning_rate": 5e-5},
            "lora": {"learning_rate": 5e-4, "lora_r": 8, "lora_alpha": 16.0},
            "oft": {"learning_rate": 5e-4, "rotation_block": 32},
        },
        text=(16, 96),
    ),
}


def write_text(base: Path, path: Path, documents: int, tokens: int) -> None:
    """What the base writes by itself from its first token on, drawn at temperature 1."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    net = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(base)
    start = (
        tokenizer.bos_token_id if tokenizer.bos_token_id is not None else net.config.bos_token_id
    )
    torch.manual_seed(0)
    found: list[str] = []
    while len(found) < documents:
        ids = torch.full((16, 1), int(start))
        with torch.no_grad():
            made = net.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                top_k=0,
                max_new_tokens=tokens,
                pad_token_id=tokenizer.eos_token_id or 0,
            )
        texts = tokenizer.batch_decode(made, skip_special_tokens=True)
        # An empty line would end a document.
        found += ["\n".join(filter(None, text.split("\n"))) for text in texts if text.strip()]
    path.write_text("\n\n".join(found[:documents]), encoding="utf-8")


def prepare(base: Path, setting: Setting, home: Path) -> tuple[Path, Path]:
    """The token rows and the text, made once."""
    import curate

    tokens, text = home / "tokens", home / "base-writes.txt"
    if not tokens.exists():
        steps = [*RECIPE, {"select": {"method": "random", "budget": setting.rows}}]
        run = curate.run(DATA / "raw" / "gpteacher_roleplay.json", steps=steps, seed=0)
        template = "simple" if "stories" in base.name else None
        made = curate.render(
            run, template=template, tokenizer=str(base), max_length=setting.longest
        )
        made.save(str(tokens))
    if not text.exists():
        write_text(base, text, *setting.text)
    return tokens, text


def _settings(setting: Setting, text: Path) -> dict[str, Any]:
    """What all methods share: LIMA's preset without dropout, every epoch kept, the last chosen."""
    return {
        "batch_size": 8,
        "held_out": 0.25,
        "residual_dropout": 0.0,
        "prompts": 0,
        "num_train_epochs": setting.epochs,
        "save_total_limit": setting.epochs,
        "choose": "last",
        "retention": str(text),
    }


def trained(base: Path, setting: Setting, home: Path, method: str, seed: int) -> Path:
    """A run that keeps all its epochs and ends with the last."""
    import curate
    from curate.base.errors import CurateError

    tokens, text = prepare(base, setting, home)
    out = home / f"{method}-{seed}"
    if not (out / "model.safetensors").exists():
        given = {**_settings(setting, text), **setting.methods[method]}
        try:
            curate.train(tokens, model=base, out=out, method=method, seed=seed, force=True, **given)
        except CurateError as error:
            sys.exit(f"{method}, seed {seed}: {error}")
    return out


def parameters(base: Path, run: Path, method: str) -> tuple[int, int]:
    """How many parameters were trained, and how many the base has."""
    from trainer.models.weights import read_tensors

    whole = sum(each.values for each in read_tensors(str(base)).values())
    if method == "full":
        return whole, whole
    from safetensors import safe_open

    with safe_open(run / "adapter" / "adapter_model.safetensors", "pt") as opened:
        names = list(opened.keys())
        return sum(opened.get_tensor(name).numel() for name in names), whole


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one method and seed: every point, and how much was trained."""

    method: str
    seed: int
    trained: int
    whole: int
    points: list[dict[str, Any]]
    length: float

    def of(self, track: str) -> list[dict[str, Any]]:
        """The points of a track; a path's base belongs to all of them."""
        return [point for point in self.points if point["track"] == track]

    @property
    def base(self) -> dict[str, Any]:
        """The base."""
        return self.of("path")[0]

    @property
    def last(self) -> dict[str, Any]:
        """The last checkpoint."""
        return self.of("path")[-1]

    @property
    def best_epoch(self) -> dict[str, Any]:
        """The epoch with the lowest held-out loss."""
        return min(self.of("epoch"), key=lambda point: point["target"])

    def within(self, track: str, bound: float) -> float:
        """The lowest target loss of a track that keeps a bound; the base's where none does.

        Between two points of a path that lie on both sides of the bound, it is that of the straight
        line between them, as methods have their points at other places.
        """
        points = self.of(track)
        kept = [point["target"] for point in points if point["rise"] <= bound]
        pairs = itertools.pairwise(points) if track in ("path", "best") else ()
        for one, other in pairs:
            low, high = sorted((one, other), key=lambda point: point["rise"])
            if low["rise"] <= bound < high["rise"]:
                part = (bound - low["rise"]) / (high["rise"] - low["rise"])
                kept.append(low["target"] + part * (high["target"] - low["target"]))
        return min([*kept, self.base["target"]])

    def volume(self, track: str, reference: tuple[float, float]) -> float:
        """The hypervolume of a track above a reference that all methods share."""
        from trainer.after.rewind.front import hypervolume

        pairs = [(-point["target"], -point["rise"]) for point in self.of(track)]
        return hypervolume(pairs, (-reference[0], -reference[1]))


def measured(base: Path, setting: Setting, home: Path, method: str, seed: int) -> Outcome:
    """Train, rewind, and read the table."""
    import curate

    started = time.perf_counter()
    run = trained(base, setting, home, method, seed)
    middle = time.perf_counter()
    back = home / f"{method}-{seed}-back"
    if not (back / "rewind.json").exists():
        _, text = prepare(base, setting, home)
        curate.rewind(run, retention=text, out=back, lines=True)
    found = json.loads((back / "rewind.json").read_text("utf-8"))
    points = found["points"]
    epochs = [point for point in points if point["track"] == "epoch"]
    best = min(epochs, key=lambda point: point["target"])["epoch"]
    again = home / f"{method}-{seed}-best"
    if not (again / "rewind.json").exists():
        _, text = prepare(base, setting, home)
        curate.rewind(run / "epochs" / f"epoch-{best}", retention=text, out=again)
    others = json.loads((again / "rewind.json").read_text("utf-8"))["points"]
    points += [{**point, "track": "best"} for point in others]
    own, whole = parameters(base, run, method)
    seconds = time.perf_counter() - middle
    print(
        f"{method}, seed {seed}: trained in {middle - started:.0f} s, rewound in {seconds:.0f} s; "
        f"taken: {found['chosen']}",
        flush=True,
    )
    return Outcome(method, seed, own, whole, points, found["length"])


def spread(values: Sequence[float], digits: int = 3) -> str:
    """The mean, and the least and largest where there are several."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def tables(found: list[Outcome]) -> list[str]:
    """All tables, as lines of Markdown."""
    own: dict[str, list[Outcome]] = {}
    for each in found:
        own.setdefault(each.method, []).append(each)
    parts = {
        "Whether the last checkpoint went too far (held-out loss, nats a token):": _overshoot(own),
        "What it cost (rise of the loss on what the base writes, nats a token):": _cost(own),
        "The lowest target loss anywhere, whatever was lost, and its alpha on both paths:": _low(
            own
        ),
        "The lowest target loss where the rise is at most so much, mean over seeds:": _bounds(own),
        "Hypervolume above the base's target and the largest rise of a last epoch:": _volumes(own),
    }
    return [line for title, lines in parts.items() for line in (title, "", *lines, "")]


Own = dict[str, list[Outcome]]


def _cells(outcomes: Sequence[Outcome], *measures: Callable[[Outcome], float]) -> list[str]:
    return [spread([measure(each) for each in outcomes]) for measure in measures]


def _overshoot(own: Own) -> list[str]:
    measures: list[Callable[[Outcome], float]] = [
        lambda each: each.base["target"],
        lambda each: each.best_epoch["target"],
        lambda each: each.last["target"],
        lambda each: each.last["target"] - each.best_epoch["target"],
    ]
    rows = [
        (
            name,
            f"{some[0].trained:,} ({some[0].trained / some[0].whole:.0%})",
            *_cells(some, *measures),
            ", ".join(str(each.best_epoch["epoch"]) for each in some),
        )
        for name, some in own.items()
    ]
    head = ("method", "trained", "base", "best epoch", "last epoch", "overshoot", "which is best")
    return table(head, rows)


def _cost(own: Own) -> list[str]:
    measures: list[Callable[[Outcome], float]] = [
        lambda each: each.best_epoch["rise"],
        lambda each: each.last["rise"],
        lambda each: each.last["kl"],
        lambda each: each.length,
        lambda each: _at(each, 0.3)["distance"],
    ]
    head = ("method", "best epoch", "last epoch", "KL, last", "change of the weights", "way at 0.3")
    return table(head, [(name, *_cells(some, *measures)) for name, some in own.items()])


def _low(own: Own) -> list[str]:
    rows = [
        (
            name,
            *_cells(some, *[_lowest(track) for track in TRACKS]),
            ", ".join(f"{_best(each, 'path')['alpha']:g}" for each in some),
            ", ".join(f"{_best(each, 'best')['alpha']:g}" for each in some),
        )
        for name, some in own.items()
    ]
    return table(("method", *TRACKS.values(), "alpha to the last", "to the best"), rows)


def _lowest(track: str) -> Callable[[Outcome], float]:
    return lambda each: float(_best(each, track)["target"])


def _bounds(own: Own) -> list[str]:
    rows = [
        (name, shown, *(f"{_mean(some, track, bound):.3f}" for bound in BOUNDS))
        for name, some in own.items()
        for track, shown in TRACKS.items()
    ]
    return table(("method", "points", *(f"{bound:g}" for bound in BOUNDS)), rows)


def _volumes(own: Own) -> list[str]:
    references = _references([each for some in own.values() for each in some])
    rows = [
        (
            name,
            *(
                spread([each.volume(track, references[each.seed]) for each in some])
                for track in TRACKS
            ),
        )
        for name, some in own.items()
    ]
    return table(("method", *TRACKS.values()), rows)


def _at(outcome: Outcome, alpha: float) -> dict[str, Any]:
    return next(point for point in outcome.of("path") if point["alpha"] == alpha)


def _best(outcome: Outcome, track: str) -> dict[str, Any]:
    return min(outcome.of(track), key=lambda point: point["target"])


def _mean(outcomes: Sequence[Outcome], track: str, bound: float) -> float:
    return sum(each.within(track, bound) for each in outcomes) / len(outcomes)


def _references(found: Sequence[Outcome]) -> dict[int, tuple[float, float]]:
    """For each seed a reference that its methods share."""
    seeds = {each.seed for each in found}
    return {
        seed: (
            max(each.base["target"] for each in found if each.seed == seed),
            max(each.last["rise"] for each in found if each.seed == seed),
        )
        for seed in seeds
    }


_COLOURS = ("#2f6fab", "#b4560b", "#2e8b57")
_STYLE = (
    "text{fill:#1f2328;font:11px sans-serif}.background{fill:#fff}.axis .guide,.axis .line"
    "{stroke:#e3e6ea}.axis.x text,.titles text{text-anchor:middle}.axis.y text{text-anchor:end}"
    ".series .line{fill:none;stroke-width:1.8}"
    + "".join(
        f".best-{n} .line,.epoch-{n} .line{{stroke:{colour}}}"
        f".epoch-{n} .line{{stroke-dasharray:3 3}}"
        f".best-{n} .dot,.best-{n} rect{{fill:{colour}}}"
        f".epoch-{n} .dot,.epoch-{n} rect{{fill:#fff;stroke:{colour}}}"
        for n, colour in enumerate(_COLOURS)
    )
)


def picture(found: Sequence[Outcome]) -> str:
    """Paths and epochs of the first seed in one plane, as SVG."""
    import pygal

    from curate.base.charts import nice_ticks, plain_svg

    first = [each for each in found if each.seed == found[0].seed]
    points = [p for each in first for p in each.points if p["track"] in ("best", "epoch")]
    x = nice_ticks(max(point["rise"] for point in points), min(0, *(p["rise"] for p in points)))
    y = nice_ticks(max(p["target"] for p in points), min(p["target"] for p in points))
    chart = pygal.XY(
        width=760,
        height=500,
        margin=8,
        margin_bottom=24,
        js=[],
        xrange=(x[0], x[-1]),
        range=(y[0], y[-1]),
        x_labels=[{"value": value, "label": f"{value:g}"} for value in x],
        y_labels=[{"value": value, "label": f"{value:g}"} for value in y],
        x_title="rise of the loss on what the base writes, nats a token",
        y_title="held-out loss, nats a token",
        legend_at_bottom=True,
        legend_at_bottom_columns=2,
        truncate_label=-1,
        truncate_legend=-1,
        dots_size=2.6,
    )
    names = []
    for number, each in enumerate(first):
        for track, shown in (("best", "path to the best epoch"), ("epoch", "epochs")):
            own = [(point["rise"], point["target"]) for point in each.of(track)]
            own = own if track == "best" else [(0.0, each.base["target"]), *own]
            chart.add(f"{each.method}, {shown}", own)
            names.append(f"{track}-{number}")
    root = plain_svg(chart, names, ("plot text-overlay", "plot tooltip-overlay"))
    root.attrib = {"xmlns": "http://www.w3.org/2000/svg", "viewBox": "0 0 760 500"}
    root.attrib |= {"width": "760", "height": "500"}
    white = {"class": "background", "width": "760", "height": "500"}
    root.insert(0, ElementTree.Element("rect", white))
    style = ElementTree.Element("style")
    style.text = _STYLE
    root.insert(0, style)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def document(name: str, setting: Setting, found: list[Outcome]) -> None:
    """Put the tables and the picture into the page about rewinding."""
    mark, end = f"<!-- benchmarks/rewinding.py --model {name} -->", f"<!-- end of {name} -->"
    page = DOCS / "rewind.md"
    before, _, rest = page.read_text("utf-8").partition(mark)
    after = rest[rest.index(end) :]
    seeds = sorted({each.seed for each in found})
    about = f"{setting.about}; {len(seeds)} seed{'s' if len(seeds) > 1 else ''}, mean"
    about += " (least to largest)." if len(seeds) > 1 else "."
    drawn = f"![paths and epochs of the first seed](rewind-{name}.svg)"
    lines = [mark, about, "", *tables(found), drawn, ""]
    page.write_text(before + "\n".join(lines) + after, encoding="utf-8")
    (DOCS / f"rewind-{name}.svg").write_text(picture(found), encoding="utf-8")


def forecast(base: Path, setting: Setting, home: Path, seeds: int) -> None:
    """Time one step of each method, and say what all of it would take."""
    import trainer
    from trainer.data.tokens import load_tokens

    tokens, text = prepare(base, setting, home)
    read = int(load_tokens(str(tokens)).rows.lengths.sum())
    documents, longest = setting.text
    # A point is a forward pass over held-out rows and text, a third of what training takes a token.
    point = (0.25 * read + documents * longest) / (3 * 0.75 * read * setting.epochs)
    seconds = 0.0
    for method, own in setting.methods.items():
        config = trainer.TrainConfig(
            tokens=str(tokens),
            model=str(base),
            out=str(home / "dry"),
            method=method,
            **{**_settings(setting, text), **own},
        )
        training = trainer.dry_run(config, lambda line: None)
        every = training * (1 + point * (35 + 2 * setting.epochs))
        print(f"{method}: {every / 60:.1f} minutes for a seed", flush=True)
        seconds += every
    print(f"about {seeds * seconds / 60:.0f} minutes for {seeds} seeds, rewinding included")


def main() -> None:
    """Train and rewind every method and seed; print the tables, write them if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", choices=tuple(SETTINGS), default="stories")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, help="keeps models, so that a run goes on")
    parser.add_argument("--forecast", action="store_true", help="time a step, train nothing")
    parser.add_argument("--docs", action="store_true", help="write tables and picture into docs/")
    options = parser.parse_args()
    stories = DATA / "models" / "stories260k-hf"
    need(stories, DATA / "raw" / "gpteacher_roleplay.json")
    setting = SETTINGS[options.model]
    with tempfile.TemporaryDirectory() as folder:
        home = (options.work or Path(folder)).resolve()
        home.mkdir(parents=True, exist_ok=True)
        base = stories
        if options.model == "smollm2":
            from small_model import small_model

            base = small_model(home)
        if options.forecast:
            forecast(base, setting, home, options.seeds)
            return
        found = [
            measured(base, setting, home, method, seed)
            for seed in range(options.seeds)
            for method in setting.methods
        ]
    print("\n".join(tables(found)))
    if options.docs:
        document(options.model, setting, found)


if __name__ == "__main__":
    main()
