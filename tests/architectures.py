"""One architecture walked from a base to answers that stop: what was trained, and what came of it.

Two steps of full fine-tuning or LoRA, then the folders as others load them: the checkpoint by
plain transformers, the adapter by peft.
"""

from __future__ import annotations

import dataclasses
import re
import warnings
from pathlib import Path
from typing import Any, Literal

from curate.base.errors import CurateError
from tests.checkpoint_toys import STOP, tensors, train, write_answers
from tests.tiny_models import write_tiny
from tests.trainer_toys import ASK, START

_FIRST_WORDS = [7, 6]  # what is generated before the stop is made the likeliest


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run of two steps left; `refused` is the sentence of one that never began.

    `trained` and `total` count parameters. `lost` are tensors of the base that the checkpoint
    lacks, `unread` those of the checkpoint that transformers does not read, and `lacking` those it
    would draw at random. `unmoved` are weights that training left as they were. `apart` is how far
    logits of base and adapter, put together by peft, are from those of the merged checkpoint, and
    `moved` how far these are from the base's. `answers` are the ids generated from each folder, the
    stop being the likeliest from the third on.
    """

    refused: str = ""
    began: bool = False
    packed: bool = False
    experts: str = ""
    log: tuple[str, ...] = ()
    trained: int = 0
    total: int = 0
    lost: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    unmoved: tuple[str, ...] = ()
    apart: float = 0.0
    moved: float = 0.0
    answers: tuple[tuple[int, ...], ...] = ()


Method = Literal["full", "lora"]


def walk(name: str, method: Method, folder: Path, **fields: Any) -> Outcome:
    """Train a tiny model of the architecture for two steps and load what that left."""
    base, tokens = write_tiny(name, folder / "base"), write_answers(folder / "tokens")
    lines: list[str] = []
    try:
        out = train(tokens, base, folder / "out", lines.append, method=method, **fields)
    except CurateError as error:
        began = any(re.search(r"\bstep 1/", line) for line in lines)
        return Outcome(refused=str(error), began=began, log=tuple(lines))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, which are not what is looked at
        return _looked_at(Path(base), out, method, lines)


def _looked_at(base: Path, out: Path, method: Method, lines: list[str]) -> Outcome:
    from transformers import AutoModelForCausalLM, GenerationConfig

    plain = AutoModelForCausalLM.from_pretrained(base).eval()
    tuned, found = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True)
    first, last = tensors(base), tensors(out)
    asked = _asked()
    logits = tuned.eval()(asked).logits
    answers, apart = [_answer(tuned)], 0.0
    if method == "lora":
        from peft import PeftModel

        # Its `AutoPeft...` would give the base as many rows as the tokenizer beside has tokens,
        # of which transformers' own class adds one to the toy's.
        bare = AutoModelForCausalLM.from_pretrained(base)
        adapted = PeftModel.from_pretrained(bare, out / "adapter").eval()
        apart = float((adapted(asked).logits - logits).abs().max())
        beside = GenerationConfig.from_pretrained(out / "adapter")
        answers.append(_answer(adapted, generation_config=beside))
    else:
        again = AutoModelForCausalLM.from_pretrained(out / "epochs" / "epoch-1").eval()
        answers.append(_answer(again))
    counts = next(line for line in lines if line.endswith("optimizer"))
    total, trained = (int(one.replace(",", "")) for one in re.findall(r"[\d,]{2,}|\d", counts)[:2])
    return Outcome(
        packed=any(line.startswith("packing: documents end to end") for line in lines),
        experts=next((line for line in lines if line.startswith("experts")), ""),
        log=tuple(lines),
        trained=trained,
        total=total,
        lost=tuple(sorted(first.keys() - last.keys())),
        unread=tuple(sorted(found["unexpected_keys"])),
        lacking=tuple(sorted(found["missing_keys"])),
        unmoved=tuple(
            name for name in first if name in last and bool((first[name] == last[name]).all())
        ),
        apart=apart,
        moved=float((plain(asked).logits - logits).abs().max()),
        answers=tuple(answers),
    )


def _asked() -> Any:
    import torch

    return torch.tensor([[START, 9, 21, ASK]])


def _answer(model: Any, **options: Any) -> tuple[int, ...]:
    """What the folder's own settings let a model generate, where a stop comes third."""
    import torch

    asked = _asked()

    def forced(ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        place = ids.shape[1] - asked.shape[1]
        wanted = _FIRST_WORDS[place] if place < len(_FIRST_WORDS) else STOP
        return torch.full_like(scores, -100.0).index_fill(1, torch.tensor([wanted]), 100.0)

    ids = model.generate(
        input_ids=asked,
        attention_mask=torch.ones_like(asked),
        max_new_tokens=6,
        do_sample=False,
        logits_processor=[forced],
        **options,
    )
    return tuple(int(number) for number in ids[0, asked.shape[1] :])
