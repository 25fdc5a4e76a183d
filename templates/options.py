"""How rows are rendered: every choice in one place, written into the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from curate.base.errors import CurateError
from curate.base.schema import ROLES
from templates.sandbox.environment import DATE, clock

Boundary = Literal["split", "train", "mask", "error"]
History = Literal["split", "last", "error"]
Mask = Literal["auto", "tag", "operational"]
Completion = Literal["template", "raw"]
Turns = Literal["all", "last"]
Control = Literal["text", "allow", "reject"]
Overlong = Literal["refuse", "right", "left"]

RESERVED = ("messages", "tools", "add_generation_prompt")


@dataclass(frozen=True)
class RenderOptions:
    """How rows are rendered; every field is in the manifest.

    Tokens: `max_length` is the longest row in tokens; `overlong` refuses longer ones, or cuts
    them on a side, after masking: a turn that is cut is not trained. `boundary` says what happens
    where a token would lie across the start of a trained text: `split` encodes the prompt alone,
    as inference does; `train` and `mask` leave the token whole; `error` refuses. `control` says
    what control tokens spelt in content become: plain text, the token (`allow`), a refusal.

    Turns: `history` says what to do where later messages change the text that an earlier turn
    was generated in: `split` makes several examples of the conversation, each as at inference;
    `last` keeps the one with the last turn; `error` refuses. `turns` trains all answers or the
    last one. `roles` are trained; other roles than assistant have no stop, only their words.
    `mask_reasoning` gives reasoning as context instead of training it. `pairs` renders the
    rejected answer beside the chosen one and trains what follows the prompt of both. Rows whose
    extra field `open_field` is true have a last answer that goes on: it is trained without a stop.

    Text: `date` is the day that templates see, `stops` are further texts at which generation will
    stop, `arguments` go to the template as they are. `mask` says what `{% generation %}` tags in
    a template mean: `auto` refuses rows where they disagree with what is generated, `tag` trains
    what they enclose, `operational` ignores them. `completion` "raw" trains the prompt and the
    answer's own words and a stop where the template would change the prompt (I1). `append_eos`
    ends an answer in the tokenizer's eos where the template writes no stop.
    """

    max_length: int | None = None
    date: str = DATE
    stops: tuple[str, ...] = ()
    boundary: Boundary = "split"
    history: History = "split"
    turns: Turns = "all"
    roles: tuple[str, ...] = ("assistant",)
    mask: Mask = "auto"
    mask_reasoning: bool = False
    pairs: bool = False
    open_field: str | None = None
    completion: Completion = "template"
    append_eos: bool = False
    control: Control = "text"
    overlong: Overlong = "refuse"
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        clock(self.date)
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise CurateError(
                    f"{name} {getattr(self, name)!r}: expected one of {', '.join(known)}"
                )
        if self.max_length is not None and self.max_length < 1:
            raise CurateError(f"max_length {self.max_length}: expected at least 1 token")
        if not all(stop.strip() for stop in self.stops):
            raise CurateError("stops: a stop cannot be empty or white space alone")
        strange = [role for role in self.roles if role not in ROLES]
        if strange or not self.roles:
            raise CurateError(f"roles {strange}: expected some of {', '.join(ROLES)}")
        if taken := sorted(set(self.arguments) & set(RESERVED)):
            raise CurateError(f"argument {taken[0]}: the conversation itself gives it")


_CHOICES: dict[str, tuple[str, ...]] = {
    "boundary": get_args(Boundary),
    "history": get_args(History),
    "turns": get_args(Turns),
    "mask": get_args(Mask),
    "completion": get_args(Completion),
    "control": get_args(Control),
    "overlong": get_args(Overlong),
}

DEFAULTS = RenderOptions()
