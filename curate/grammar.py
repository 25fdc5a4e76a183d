"""The command line's grammar: every verb, its options, and what they may be."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from curate.base.errors import brief
from curate.base.terminal import complain
from curate.base.token_amounts import amount_of
from curate.base.version import __version__
from curate.pipeline.engine import ENGINES


class Grammar(argparse.ArgumentParser):
    """A parser whose errors show what was given as text, whatever it holds."""

    def error(self, message: str) -> NoReturn:
        """Print usage and the message, and exit with 2."""
        self.print_usage(sys.stderr)
        complain(f"error: {brief(message, 2_000)}", self.prog)
        raise SystemExit(2)


# Former names of verbs and options: each is answered with the present one.
RENAMED = {"arms": "baselines", "--open-field": "--continue-final-field"}


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; exits with 2 for what no verb takes."""
    argv, grammar = _present(argv), parser()
    arguments, others = grammar.parse_known_args(argv)
    # argparse misses a word that may be left out where options stand before it, and takes `-:3`,
    # line 3 of standard input, for an option.
    if len(others) == 1 and getattr(arguments, "key", "") is None and _is_row(others[0]):
        arguments.key, others = others[0], []
    # The same for files that follow options.
    if getattr(arguments, "data", None) == [] and not any(word.startswith("-") for word in others):
        arguments.data, others = others, []
    if others:
        grammar.error(f"unrecognized arguments: {' '.join(others)}")
    return arguments


def _is_row(word: str) -> bool:
    return not word.startswith("-") or word.startswith("-:")


def _present(argv: Sequence[str]) -> list[str]:
    """The arguments, if none of them is a former name; exits with 2 otherwise."""
    former = [word for word in argv[:1] if word == "arms"]
    former += [word.partition("=")[0] for word in argv if word.startswith("--open-field")]
    if former:
        complain(f"{former[0]} is now {RENAMED[former[0]]}")
        raise SystemExit(2)
    return list(argv)


def parser() -> argparse.ArgumentParser:
    """The whole command line, as argparse sees it."""
    top = Grammar(
        prog="curate",
        description="Clean raw instruction dumps, preview what a model will see, fine-tune on it.",
        epilog="Every verb has its own help: curate run --help",
    )
    top.add_argument("--version", action="version", version=f"curate {__version__}")
    verbs = top.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, (about, add_options) in VERBS.items():
        verb = verbs.add_parser(name, help=about, description=about)
        verb.set_defaults(verb=name)
        add_options(verb.add_argument)
    return top


def _run(add: Any) -> None:
    _dumps(add)
    add("--recipe", help="a recipe file, or the name of a bundled one")
    about = "change one setting of the recipe, such as near.threshold=0.7 (repeatable)"
    _many(add, "--set", "STEP.FIELD=VALUE", about)
    add("--workers", type=_positive, help="processes to use (default: all cores)")
    about = "what they are: processes of curate, or Ray (default: processes)"
    add("--engine", choices=ENGINES, default=ENGINES[0], help=about)
    about = "engine ray: a cluster that is there already; none: this machine"
    add("--address", metavar="HOST:PORT", help=about)
    about = "a folder for what is under way (default: beside --out); a cluster's nodes must see it"
    add("--work", type=Path, metavar="DIR", help=about)
    add("--no-cache", action="store_true", help="measure everything anew")
    about = "print what judges would be asked, in rows, tokens and dollars; write nothing"
    add("--dry-run", action="store_true", help=about)
    _out(add, "RUN")


def _inspect(add: Any) -> None:
    _dumps(add)
    add("--tokenizer", help="a tokenizer folder: lengths in tokens as well")
    add("--json", action="store_true", help="for machines")


def _explain(add: Any) -> None:
    add("run", type=Path, help="a folder written by curate run")
    about = (
        "a row's number among all that were read, from 0 (preview counts kept rows), an id, or the "
        "file and line of a row or reject, as reports print them: a.json:17; a file alone means "
        "all of its rows"
    )
    add("key", metavar="ROW", nargs="?", help=about)
    about = "rows and rejects that hold this text, in any case"
    add("--grep", metavar="TEXT", help=about)
    add("--reason", help="rows that were dropped, edited or rejected for this reason")
    add("--step", help="rows that this step dropped or edited; read: the rejects")
    _shown(add, "of several rows show this many (default: 10); one row is shown in full")


def _diff(add: Any) -> None:
    add("run", type=Path, metavar="RUN1", help="a folder written by curate run")
    add("other", type=Path, metavar="RUN2", help="another one, to compare with it")
    _shown(add, "show this many of the rows that differ, some of each kind (default: 10)")
    add("--json", action="store_true", help="for machines: all rows that differ")


def _shown(add: Any, about: str) -> None:
    add("--rows", type=_positive, metavar="N", default=10, help=about)


def _preview(add: Any) -> None:
    add("source", help="a file, a RUN folder, or a TOKENS folder")
    _rendering(add, required=False)
    about = "which kept row, from 0 (repeatable); explain counts all rows that were read"
    add("--row", type=int, action="append", help=about)
    add("--turn", type=int, metavar="N", help="only message N, from 0")
    add("--html", type=Path, metavar="FILE", help="write a page instead")
    add("--json", action="store_true", help="for machines")
    add("--ids", action="store_true", help="show token ids")
    add("--diff", metavar="TEMPLATE", help="compare with another template")
    add("--diff-tokenizer", metavar="P", help="compare with another tokenizer")
    add("--failures", action="store_true", help="the rows that are refused, and why")


def _render(add: Any) -> None:
    add("source", help="a file or a RUN folder")
    _rendering(add, required=True)
    add("--strict", action="store_true", help="exit with 1 if any row is refused")
    _out(add, "TOKENS")


def _rendering(add: Any, required: bool) -> None:
    add("--template", help="a bundled template, a .jinja file, or 'tokenizer'")
    add("--tokenizer", required=required, help="a tokenizer folder or hub id")
    _many(add, "--add-token", "TEXT", "a token of its own")
    _many(add, "--arg", "NAME=VALUE", "given to the template")
    _many(add, "--stop", "TEXT", "generation stops here too")
    add("--date", help="the day that templates see, as 2024-07-26")
    add("--max-length", type=_positive, help="the most tokens of a row")
    _choice(add, "--overlong", "refuse, right, left", "longer rows: refuse, or cut on a side")
    _choice(add, "--history", "split, last, error", "turns that later messages rewrite")
    _choice(add, "--turns", "all, last", "the answers to train")
    roles = ("system", "user", "assistant", "tool")
    about = "a role whose messages are trained (repeatable; default: assistant)"
    add("--role", action="append", default=[], choices=roles, help=about)
    add("--mask-reasoning", action="store_true", default=None, help="reasoning is not trained")
    about = "thoughts in an answer's text become the reasoning that a template writes, or stay"
    add("--inline-think", nargs="?", const="move", choices=("move", "keep"), help=about)
    _choice(add, "--mask", "auto, tag, operational", "what generation tags mean")
    _choice(add, "--control", "text, allow, reject", "control tokens spelt in content")
    _choice(add, "--boundary", "split, train, mask, error", "a token across a prompt's end")
    _choice(add, "--completion", "template, raw", "raw: the answer's words as given")
    add("--pairs", action="store_true", help="the rejected answer too, beside the chosen one")
    about = "where this field of a row is true, its last answer goes on: no stop is trained"
    add("--continue-final-field", metavar="NAME", help=about)
    add("--append-eos", action="store_true", default=None, help="where a template writes no stop")


def _train(add: Any) -> None:
    add("tokens", help="a folder written by curate render")
    add("--model", required=True, help="a model folder or hub id")
    add("--preset", help="a named set of training settings")
    about = "change one training setting, such as max_grad_norm=0.5 (repeatable)"
    _many(add, "--set", "FIELD=VALUE", about)
    add("--method", help="what is trained: full, lora, dora, ... (docs/training.md lists them)")
    about = "go on from an adapter: a CKPT, one of its epochs, or a folder of peft"
    add("--from-adapter", metavar="CKPT|DIR", help=about)
    add("--epochs", type=_positive, help="passes over the training rows (num_train_epochs)")
    add("--max-steps", type=_positive, help="end after so many optimizer steps (max_steps)")
    add("--lr", type=float, help="the highest learning rate (learning_rate)")
    add("--batch", type=_positive, help="examples in one optimizer step (batch_size)")
    add("--seed", type=_seed, help="decides split, order, adapters and dropout")
    about = "answers, a teacher beside them, a score, or which of two is better (sft)"
    preferences = ("dpo", "ipo", "hinge", "simpo", "cpo", "orpo", "kto")
    add("--objective", choices=("sft", "distil", "reward", *preferences), help=about)
    about = "learn this model's distributions as well: a model, or LOGITS of curate teacher"
    add("--teacher", metavar="T", help=about)
    about = "train in spite of this finding of the checks (repeatable)"
    _many(add, "--allow", "REASON", about)
    about = "check everything, time a step, write nothing"
    add("--dry-run", action="store_true", help=about)
    add("--resume", action="store_true", help="go on with a run that was stopped")
    about = "skip the comparison of losses before step 1"
    add("--no-proof", action="store_true", help=about)
    _out(add, "CKPT")


def _teacher(add: Any) -> None:
    add("tokens", help="a folder written by curate render")
    add("--model", required=True, metavar="T", help="the teacher: a model folder or hub id")
    about = "the likeliest words of each target that are kept, all others being one (default: 50)"
    add("--top", type=_positive, default=50, metavar="K", help=about)
    about = "what logits are divided by; distil_temperature of training is the same (default: 1)"
    add("--temperature", type=_temperature, default=1.0, metavar="T", help=about)
    about = "number format that the teacher computes in (default: float32)"
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help=about)
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes a GPU if any")
    _out(add, "LOGITS")


def _merge(add: Any) -> None:
    add("source", metavar="CKPT", help="a folder written by curate train, or an adapter's folder")
    add("--epoch", type=_positive, metavar="N", help="of CKPT this epoch, not the chosen one")
    about = "the folder of an adapter of peft to merge into the model in CKPT"
    add("--adapter", metavar="DIR", help=about)
    add("--model", metavar="BASE", help="the base, where it is not the one that the adapter names")
    _out(add, "M")


def _rewind(add: Any) -> None:
    about = "CKPT, one of its epochs, an adapter's folder, or a whole model with --model"
    add("source", metavar="CKPT", help=about)
    about = "what was known before: a .txt, a .jsonl with a text a line, or a TOKENS folder"
    add("--retention", required=True, metavar="FILE", help=about)
    about = "rows whose answers are the task (default: those that the training run held out)"
    add("--target", metavar="TOKENS", help=about)
    about = (
        "how much the loss on FILE may rise above the base's, nats a token, such as 0.05 (default: "
        "the point with the largest hypervolume is taken)"
    )
    add("--max-retention-loss", type=float, metavar="NATS", help=about)
    add("--model", metavar="BASE", help="the base, where it is not the one that CKPT names")
    about = "measure the path that moves later layers further as well (LiNeS)"
    add("--lines", action="store_true", help=about)
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes a GPU if any")
    about = "check everything, time a point, write nothing"
    add("--dry-run", action="store_true", help=about)
    add("--json", action="store_true", help="for machines")
    _out(add, "M")


def _chat(add: Any) -> None:
    about = "a model's folder: CKPT, CKPT/adapter, CKPT/epochs/epoch-N, or one of curate merge"
    add("source", metavar="CKPT", help=about)
    add("--model", metavar="BASE", help="of an adapter: the base, where it is not the one it names")
    about = "how far answers may stray from the likeliest; 0 is the likeliest token each time"
    add("--temperature", type=_temperature, default=0.0, metavar="T", help=f"{about} (default: 0)")
    about = "the longest answer, in tokens (default: 512)"
    add("--max-tokens", type=_positive, default=512, metavar="N", help=about)
    add("--system", metavar="TEXT", help="a system message, where a conversation has none")
    add("--seed", type=_seed, default=0, help="of what is drawn where the temperature is above 0")
    about = "answer all prompts of a file: conversations, rows of any dump, or lines of text"
    add("--prompts", metavar="FILE", help=about)
    add("--out", type=Path, metavar="ANSWERS", help="with --prompts: the .jsonl file to write")
    add("--force", action="store_true", help="replace that file")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes a GPU if any")
    add("--quiet", action="store_true", help="print errors and warnings only")


def _diagnose(add: Any) -> None:
    about = "a CKPT, one of its epochs (CKPT/epochs/epoch-N), or an adapter's folder"
    add("source", metavar="CKPT", help=about)
    about = "a text that both models read: .txt, .jsonl with a text a line, or TOKENS (repeatable)"
    add("--text", action="append", required=True, metavar="FILE", help=about)
    add("--model", metavar="BASE", help="the base, where it is not the one that CKPT names")
    about = "tokens that are read, shared by the texts (default: 4096)"
    add("--tokens", type=_positive, default=4096, metavar="N", help=about)
    about = "leave out what needs the singular values of every weight, most of the time"
    add("--no-spectra", action="store_true", help=about)
    about = "a page (.html), or else a folder for the page and all numbers"
    add("--out", type=Path, metavar="PAGE", help=about)
    add("--force", action="store_true", help="replace the folder of another diagnosis")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes a GPU if any")
    add("--json", action="store_true", help="print all numbers as JSON")
    add("--quiet", action="store_true", help="print errors and warnings only")


def _eval(add: Any) -> None:
    about = "a model's folder: CKPT, CKPT/adapter, CKPT/epochs/epoch-N, a base, or a merged model"
    add("source", metavar="CKPT", help=about)
    about = "what it is measured on: with --labels a TOKENS folder, a RUN, or a file of rows"
    add("data", nargs="*", metavar="DATA", help=about)
    about = (
        "classify the rows of DATA: a file of classes (a line each, a JSON list, or an object that "
        "gives the class for what a row holds), the field with the label, or auto"
    )
    add("--labels", metavar="FILE|FIELD", help=about)
    add("--field", help="with a file in --labels: the field with the label, if not the last answer")
    _suite(add)
    about = "another model to measure on the same rows, and how far CKPT is ahead (repeatable)"
    _many(add, "--against", "MODEL", about)
    add("--model", metavar="BASE", help="of an adapter: the base, where it is not the one it names")
    add("--template", help="of a file: what writes the prompts, instead of each model's own")
    add("--format", help="of a file: read every row as this format instead of detecting it")
    about = "of a file: a field that formats know, and the column that holds it (repeatable)"
    _many(add, "--map", "FIELD=COLUMN", about)
    about = "how a label is chosen: likeliest as a whole, a token, down a trie, or written freely"
    scorings = ("sum", "mean", "trie", "generate")
    add("--scoring", choices=scorings, default="sum", help=f"{about} (default: sum)")
    about = "even: what a model gives a class over all rows is no lead (default: model)"
    add("--prior", choices=("model", "even"), default="model", help=about)
    add("--seed", type=_seed, default=0, help="of the rows drawn again for the intervals")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto takes a GPU if any")
    add("--json", action="store_true", help="for machines")
    add("--out", type=_folder, metavar="EVAL", help="a folder for all of it, each row too")
    add("--force", action="store_true", help="replace an evaluation of other models or rows there")
    add("--quiet", action="store_true", help="print results, errors and warnings only")


def _suite(add: Any) -> None:
    about = "loss, stops and lengths on each DATA (conversations, TOKENS, .txt), and instructions"
    add("--suite", action="store_true", help=about)
    about = "of --suite these parts alone, with commas: loss, stops, lengths, instructions"
    add("--only", metavar="PARTS", help=about)
    about = "lengths beside those of this RUN or file (default: each file's own answers)"
    add("--reference", metavar="RUN|FILE", help=about)
    about = "rows of each DATA, and instructions, at most; drawn by the seed (default: 500)"
    add("--max-rows", type=_positive, default=500, metavar="N", help=about)
    add("--all-rows", action="store_true", help="all rows of each DATA")
    about = "prompts with instructions (default: 300)"
    add("--prompts", type=_positive, default=300, metavar="N", help=about)
    about = "the longest answer, in tokens (default: 256)"
    add("--max-tokens", type=_positive, default=256, metavar="N", help=about)
    about = "0 is the likeliest token each time (default: 0)"
    add("--temperature", type=_temperature, default=0.0, metavar="T", help=about)


def _prove(add: Any) -> None:
    add("run", type=Path, help="a folder written by curate run: are its kept rows the better ones?")
    add("--model", required=True, help="a model folder or hub id, trained anew each time")
    add("--template", help="a bundled template, a .jinja file, or 'tokenizer'")
    about = "compare templates, with commas: train on the kept rows with each, prompt with each"
    add("--templates", metavar="NAMES", help=about)
    about = (
        "compare at several amounts of trained tokens, such as tokens=25k,50k,100k, or shares of a "
        "source or category in the kept rows, such as mix.code=0.1,0.3"
    )
    add("--sweep", metavar="NAME=VALUES", help=about)
    about = (
        "what the kept rows are compared with, with commas: random, longest, full, raw "
        "(default: all)"
    )
    add("--baselines", metavar="NAMES", help=about)
    about = "held-out conversations to measure on, in any shape; without, rows of the run itself"
    add("--targets", nargs="+", action="extend", metavar="FILE", default=[], help=about)
    about = (
        "trained tokens of each training, such as 200k (default: those of the kept rows, times "
        "--epochs)"
    )
    add("--tokens", type=_amount, metavar="N", help=about)
    about = "trainings of each set, with other random rows and orders (default: 5)"
    add("--seeds", type=_positive, metavar="N", default=5, help=about)
    about = "a difference below this share of bits per byte is none (default: 0.01)"
    add("--margin", type=float, metavar="SHARE", default=0.01, help=about)
    about = "rows of each target, at most; drawn by a seed (default: 200)"
    add("--max-rows", type=_positive, default=200, metavar="N", help=about)
    about = (
        "rows of each target that are answered as well: stops, lengths, loops (default: 0; with "
        "--templates, --reward or --judge 32)"
    )
    add("--answers", type=_seed, metavar="N", help=about)
    about = "prompts with instructions that code checks (default: 0)"
    add("--instructions", type=_seed, default=0, metavar="N", help=about)
    about = "the longest answer, in tokens (default: 128)"
    add("--max-tokens", type=_positive, default=128, metavar="N", help=about)
    about = "a reward model that says whose answers are better: win rates beside the other metrics"
    add("--reward", metavar="RM", help=about)
    about = "a judge that says so: a model's name at --url, or its folder"
    add("--judge", metavar="NAME", help=about)
    add("--url", help="the judge's server, such as http://127.0.0.1:8000/v1")
    add("--rubric", metavar="NAME", help="what the judge is asked, or a file (mt_bench_pair)")
    about = "one of the judge's other settings, such as max_cost=5 (repeatable)"
    _many(add, "--judge-set", "FIELD=VALUE", about)
    about = "what is trained: lora (default), full, ... (docs/training.md lists them)"
    add("--method", help=about)
    add("--preset", help="a named set of training settings")
    about = "passes over the kept rows, where --tokens is not given (default: 1)"
    add("--epochs", type=_positive, help=about)
    add("--lr", type=float, help="the highest learning rate (learning_rate)")
    about = "trained tokens in one optimizer step (default: as many as give 20 steps, or 4096)"
    add("--batch-tokens", type=_amount, metavar="N", help=about)
    about = "change one training setting, such as max_grad_norm=0.5 (repeatable)"
    _many(add, "--set", "FIELD=VALUE", about)
    add("--jobs", type=_positive, default=1, metavar="N", help="trainings at once (default: 1)")
    add("--keep-models", action="store_true", help="keep every model, in PROOF/models")
    about = "print sets, steps and an estimate of time; write nothing"
    add("--dry-run", action="store_true", help=about)
    _out(add, "PROOF")


def _pairs(add: Any) -> None:
    _dumps(add)
    kinds = ("rejected", "votes", "scores", "ranks", "annotators", "judge")
    add("--from", dest="kind", required=True, choices=kinds, help="what says which is better")
    add("--by", metavar="FIELD", help="the number: score, or a field (votes, scores.reward, rank)")
    add("--ratio", type=float, help="votes: times as many, where the fewer are above 0 (2)")
    add("--margin", type=float, help="votes, scores: least lead of the better one (2; above 0)")
    add("--least", type=float, help="votes, scores: what both need at least")
    add("--time", metavar="FIELD", help="votes: the better one must not be the earlier")
    add("--parent", metavar="FIELD", help="keeps equal prompts of different posts apart")
    add("--per-parent", type=_positive, help="pairs of a prompt at most (votes 5, scores 1)")
    add("--annotator", metavar="FIELD", help="annotators: who answered (annotator)")
    add("--target", metavar="NAME", help="annotators: whose answers are the chosen ones")
    add("--valid", metavar="FIELD", help="annotators: true where an answer counts")
    add("--rubric", metavar="NAME", help="judge: a rubric for pairs, or a file (mt_bench_pair)")
    add("--model", metavar="NAME", help="judge: a model's name at --url, or its folder")
    add("--url", help="judge: a server, such as http://127.0.0.1:8000/v1")
    about = "judge: one of its other settings, such as concurrency=32 (repeatable)"
    _many(add, "--set", "FIELD=VALUE", about)
    add("--sft", action="store_true", help="also write the chosen answers as conversations")
    _out(add, "PAIRS")


def _reward(add: Any) -> None:
    add("action", choices=("fit",), help="fit: learn from pairs which answer is better")
    _dumps(add)
    add("--seed", type=_seed, default=0, help="of the folds and intervals")
    _out(add, "RM")


def _judge(add: Any) -> None:
    about = "check: compare a run's scores with labels; rubrics: list them, or print one"
    add("action", choices=("check", "rubrics"), help=about)
    about = "check: a folder written by curate run; rubrics: a rubric's name or file"
    add("what", nargs="?", metavar="RUN", help=about)
    about = "check: the field with what people say: numbers, true and false, or words"
    add("--labels", metavar="FIELD", help=about)
    about = "check: the label from which a row is good, or the word that says so"
    add("--good", metavar="LABEL", help=about)
    about = "check: the score from which the judge calls a row good (default: min_score of the run)"
    add("--at", type=float, metavar="SCORE", help=about)
    about = "check: the step whose scores are compared (default: judge)"
    add("--step", metavar="NAME", default="judge", help=about)
    add("--json", action="store_true", help="check: for machines")


def _export(add: Any) -> None:
    add("source", help="a RUN or TOKENS folder; for gguf a CKPT, or any model's folder")
    about = "who is to read it: trl, axolotl, llamafactory, hub, or gguf (llama.cpp)"
    add("--to", required=True, metavar="TOOL", help=about)
    add("--model", help="a model folder or hub id, written into the configuration")
    about = "of the weights in a GGUF (default: as in CKPT)"
    add("--number-format", choices=("f32", "f16", "bf16"), help=about)
    _out(add, "DIR|FILE")


def _baselines(add: Any) -> None:
    add("run", type=Path, help="a folder written by curate run with a select step")
    _out(add, "BASELINES")


def _report(add: Any) -> None:
    add("run", type=Path, help="a folder written by curate run")


def _filters(add: Any) -> None:
    add("name", nargs="*", help="only these")


def _templates(add: Any) -> None:
    add("--check", metavar="TEMPLATE", help="a bundled template or a .jinja file")
    add("--tokenizer", help="a tokenizer folder or hub id")


# Every verb: what it does, and the function that adds its options.
VERBS: dict[str, tuple[str, Callable[[Any], None]]] = {
    "run": ("Clean dumps: read them, apply a recipe's steps, write RUN with every verdict.", _run),
    "inspect": ("What is in these files: formats, counts, lengths, problems.", _inspect),
    "explain": (
        "Why rows were kept, dropped or rejected: one in full, or all that match. On a terminal "
        "long lines are wrapped; in a pipe or file they are as long as they are.",
        _explain,
    ),
    "diff": ("Which rows two runs judge differently, and why.", _diff),
    "preview": ("What a model will see: text, tokens, and which of them are trained.", _preview),
    "render": ("Turn kept records into masked tokens that a trainer takes as they are.", _render),
    "train": (
        "Fine-tune a causal language model on a TOKENS folder and choose a checkpoint.",
        _train,
    ),
    "teacher": (
        "Write what a large model would say at every trained token, for a small one to learn.",
        _teacher,
    ),
    "merge": ("Put an adapter's changes into its base: a whole model in a folder.", _merge),
    "rewind": (
        "Go back from a checkpoint towards its base, and keep the best of what lies between.",
        _rewind,
    ),
    "chat": ("Talk to a model with the template it was trained with, or answer prompts.", _chat),
    "eval": (
        "Measure models, side by side, with intervals: as classifiers, or by a suite of numbers.",
        _eval,
    ),
    "diagnose": (
        "What training changed in each layer of a model: its weights, and what they give.",
        _diagnose,
    ),
    "prove": (
        "Train on the kept rows and on others of the same size: is the difference there?",
        _prove,
    ),
    "pairs": (
        "Preference pairs out of dumps or a RUN: from votes, scores, ranks, annotators, a judge.",
        _pairs,
    ),
    "judge": ("What a judge's scores are worth beside labels, and the rubrics there are.", _judge),
    "reward": ("Fit a small reward model on preference pairs, to score rows in a recipe.", _reward),
    "baselines": (
        "The sets that a run's selection is to be compared with, as files to render.",
        _baselines,
    ),
    "export": (
        "Write a RUN or TOKENS for TRL, Axolotl, LLaMA-Factory or the hub.",
        _export,
    ),
    "report": ("Print a run's funnel and write its report.html anew.", _report),
    "filters": ("The filters and fixes, their settings and reasons.", _filters),
    "templates": ("The bundled chat templates, or one template's card.", _templates),
}


def _dumps(add: Any) -> None:
    add("dump", nargs="+", help="files, folders, globs, or - for standard input")
    add("--format", help="read every row as this format instead of detecting it")
    about = "a field that formats know, and the column that holds it here (repeatable)"
    _many(add, "--map", "FIELD=COLUMN", about)
    add("--paths", default="best", help="OASST trees: best, all or a number")
    about = "in a chat of several people (Slack, Discord): who gives the answers"
    add("--answerer", metavar="NAME", help=about)
    about = "read answers that are marked as undesirable too (KTO); their score is 0"
    add("--undesirable", action="store_true", help=about)
    about = "the most that a packed file may unpack to, such as 20GB (default: 1 GiB or 200 times)"
    add("--max-unpacked", metavar="SIZE", help=about)


def _out(add: Any, folder: str) -> None:
    add("--out", type=_folder, required=True, metavar=folder, help="the folder to write")
    about = "replace results of other data too, and write beside files of yours"
    add("--force", action="store_true", help=about)
    add("--quiet", action="store_true", help="print errors and warnings only")


def _many(add: Any, option: str, metavar: str, about: str) -> None:
    add(option, action="append", default=[], metavar=metavar, help=about)


def _choice(add: Any, option: str, known: str, about: str) -> None:
    choices = tuple(known.split(", "))
    add(option, choices=choices, help=f"{about} (default: {choices[0]})")


def _folder(text: str) -> Path:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty; name the folder to write to")
    return Path(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def _temperature(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 100")
    return number


def _amount(text: str) -> int:
    try:
        return amount_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}; such as 25000, 200k or 1M") from None


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)
