"""What lies beside the weights in every folder that can be loaded, so that it stops everywhere.

Each runtime learns where an answer ends in a place of its own: `generate` of transformers and vLLM
in `generation_config.json`, a converter to GGUF in the tokenizer's `eos_token`, others in
`config.json`. All are written, with the templates the rows were rendered with and the files that
prepare pictures or sounds for the base.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from curate.base import models
from curate.base.errors import CurateError
from trainer.checkpoints import older
from trainer.data.manifest import CARDS
from trainer.data.rows import IGNORED
from trainer.data.tokens import Tokens
from trainer.models import model, weights
from trainer.models.generation import (
    GENERATION,
    generation_of,
    read_object,
    stop_texts_of,
    stops_of,
)
from trainer.plan import Plan

Content = dict[str, Any]
_TRIED = 8  # rows whose text a saved tokenizer must read as the base's does
_USES_EOS = re.compile(r"\beos_token\b")


@dataclasses.dataclass(frozen=True)
class Companions:
    """Where the files beside weights are from, and what training taught.

    Each file is that of the first of `folders` that has one; the last of them is the base. `ending`
    is the token that ends answers, None where none was trained. `stop_ids` and `stop_strings` end
    generation besides those that a folder names; `generates` is false for reward models.
    """

    folders: Sequence[Path]
    ending: int | None
    stop_ids: Sequence[int] = ()
    stop_strings: Sequence[str] = ()
    generates: bool = True


def complete(folder: Path, plan: Plan) -> None:
    """Give a folder of weights or adapters its tokenizer, templates, stops and processor files."""
    config, tokens, ending = plan.config, plan.tokens, trained_ending(plan.tokens)
    model.copy_tokenizer(config.model, plan.tokenizer, folder, bool(plan.words.added))
    about = Companions(
        (weights.local_folder(config.model),),
        ending,
        tokens.stop_ids,
        tokens.stop_strings,
        config.objective != "reward",
    )
    _lay_beside(folder, about)
    if plan.tokenizer is not None:
        _write_templates(folder, plan, ending)
        _edit_tokenizer(folder, plan.tokenizer, ending, plan.words.padding)
        _keep_class(folder, plan.tokenizer)


def complete_from(folder: Path, folders: Sequence[Path], generates: bool) -> None:
    """Give weights in `folder` what lies in the first of `folders` that has it, the base last.

    An ending that was trained is in the adapter's own tokenizer; a base keeps what it has.
    """
    source = tokenizer_folder(folders)
    tokenizer = None
    if source is not None:
        model.copy_tokenizer(str(source), None, folder)
        tokenizer = model.read_tokenizer(str(source))
    ending = None if tokenizer is None else tokenizer.eos_token_id
    trained = ending if source in folders[:-1] else None
    stops = () if ending is None else (ending,)
    _lay_beside(folder, Companions(folders, trained, stops, generates=generates))


def tokenizer_folder(folders: Sequence[Path]) -> Path | None:
    """The first of the folders that holds a tokenizer."""
    wanted = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
    return next((each for each in folders if any((each / one).is_file() for one in wanted)), None)


def _lay_beside(folder: Path, about: Companions) -> None:
    """What no tokenizer holds: processor files, stops, and the ending in `config.json`."""
    for file in model.PROCESSOR_FILES:
        holder = next((each for each in about.folders if (each / file).is_file()), None)
        if holder is not None:
            shutil.copyfile(holder / file, folder / file)
    if about.generates:
        _write_stops(folder, about)
    _edit(folder / "config.json", lambda content: _with_ending(content, about.ending))


def check(plan: Plan) -> None:
    """Refuse, before step 1, a tokenizer that would read texts otherwise once it is saved.

    Which class reads a tokenizer's files hangs on what lies beside them and how the folder is
    called; of adapters it is not the same as of their base.
    """
    if plan.tokenizer is None:
        return
    rows = plan.tokens.rows
    some = plan.train[:_TRIED].tolist()
    texts = [plan.tokenizer.decode(rows.input_ids[rows.row(row)].tolist()) for row in some]
    with TemporaryDirectory() as place:
        complete(Path(place), plan)
        saved = models.load_tokenizer(place, local=True)
        for text in texts:
            before, after = (
                one(text, add_special_tokens=False).input_ids for one in (plan.tokenizer, saved)
            )
            if before != after:
                raise CurateError(
                    f"{plan.config.model}: its tokenizer reads {text!r:.60} as other tokens once "
                    "it is saved beside a checkpoint; write the base's tokenizer anew with its "
                    "save_pretrained"
                )


def _keep_class(folder: Path, tokenizer: Any) -> None:
    """Name the class that read the tokenizer of the base, where the folder alone would not."""
    name = type(tokenizer).__name__
    if type(models.load_tokenizer(str(folder), local=True)).__name__ != name:
        content: Content = {"tokenizer_class": name}
        older.tokenizer_config(content)
        _edit(folder / "tokenizer_config.json", lambda known: known.update(content))


def trained_ending(tokens: Tokens) -> int | None:
    """The token that ends answers: by the template's card, or else what most rows end in.

    None where they end in text that is no token.
    """
    for name in CARDS:
        card = tokens.manifest.get(name)
        if isinstance(card, dict) and isinstance(card.get("ends_with"), dict):
            number = card["ends_with"].get("id")
            return None if number is None else int(number)
    rows = tokens.rows
    trained = np.flatnonzero(rows.labels != IGNORED)
    row_of = np.searchsorted(rows.offsets, trained, side="right")
    lasts = trained[np.append(row_of[1:] != row_of[:-1], True)] if len(trained) else trained
    ends = Counter(number for number in rows.labels[lasts].tolist() if number in tokens.stop_ids)
    return ends.most_common(1)[0][0] if ends else None


def _write_templates(folder: Path, plan: Plan, ending: int | None) -> None:
    """Give the tokenizer the templates the rows were rendered with.

    The prompt that a model was trained on is the one it must be asked with. A template that is in
    `tokenizer_config.json` of the base as well would be taken instead of it by some.
    """
    template = plan.tokens.manifest.get("template") or {}
    before = plan.tokenizer.eos_token
    changes = _eos_text(plan.tokenizer, ending) not in (None, before)

    def kept(text: str) -> str:
        # What the template writes for its end of text must not change with the tokenizer's.
        written = f"{{%- set eos_token = {json.dumps(before)} -%}}\n"
        return written + text if changes and before and _USES_EOS.search(text) else text

    if template.get("source"):
        text = kept(template["source"])
        (folder / "chat_template.jinja").write_text(text, encoding="utf-8")
        for file in ("tokenizer_config.json", *model.PROCESSOR_FILES):
            _edit(folder / file, lambda content: content.pop("chat_template", None))
    if template.get("tool_use"):
        named = folder / model.MORE_TEMPLATES
        named.mkdir(exist_ok=True)
        (named / "tool_use.jinja").write_text(kept(template["tool_use"]), encoding="utf-8")


def _eos_text(tokenizer: Any, ending: int | None) -> str | None:
    """How the ending is spelt, if it may be the tokenizer's `eos_token`.

    Only a token that is matched whole in any text may be: an ordinary word would begin to be.
    """
    known = {number: text for text, number in tokenizer.get_added_vocab().items()}
    return None if ending is None else known.get(ending)


def _edit_tokenizer(folder: Path, tokenizer: Any, ending: int | None, padding: int | None) -> None:
    """Let `eos_token` be the trained ending, and `pad_token` what a reward model pads with."""
    named = {"eos_token": _eos_text(tokenizer, ending)}
    more: Content = {}
    if padding is not None:
        named["pad_token"] = _eos_text(tokenizer, padding)
        # Scores are read at the last token, and positions count from the first.
        more = {"padding_side": "right"}
    given: Content = {name: text for name, text in named.items() if text is not None}

    def rename(content: Content) -> None:
        for name, text in given.items():
            now = content.get(name)
            # One that is right stays as it is written, with what it says of spaces.
            if (now.get("content") if isinstance(now, dict) else now) != text:
                content[name] = text

    def settings(content: Content) -> None:
        rename(content)
        content.update(more)
        older.tokenizer_config(content)

    _edit(folder / "tokenizer_config.json", settings)
    _edit(folder / "special_tokens_map.json", rename)


def _write_stops(folder: Path, about: Companions) -> None:
    """Let generation end at the trained stops as well as at those the base model had.

    Stops that are no token are `stop_strings`: `generate` of transformers then asks for the
    tokenizer, to see them.
    """
    content = _generation(folder, about.folders)
    # Such a one would be made anew from config.json, which has room for one stop.
    content.pop("_from_model_config", None)
    if stops := [*dict.fromkeys([*stops_of(content), *about.stop_ids])]:
        content["eos_token_id"] = stops
    texts = [*stop_texts_of(content), *about.stop_strings]
    if texts:
        content["stop_strings"] = [*dict.fromkeys(texts)]
    _write(folder / GENERATION, content)


def _generation(folder: Path, folders: Sequence[Path]) -> Content:
    """How the model generates: as what was trained, as its weights were saved, or as the base."""
    *trained, base = folders
    named = (generation_of(each) for each in (*trained, folder, base))
    found = next((content for content in named if content), {})
    config = read_object(base / "config.json")
    text = config.get("text_config") or {}
    names = ("eos_token_id",) if found else ("bos_token_id", "eos_token_id", "pad_token_id")
    own = {key: value for key in names if (value := config.get(key, text.get(key))) is not None}
    return {**own, **found}


def _with_ending(content: Content, ending: int | None) -> None:
    """`config.json` whose end of text is the trained one, readable by older versions."""
    parts = [content, *(part for part in [content.get("text_config")] if isinstance(part, dict))]
    for part in parts:
        if ending is not None and (part is content or "eos_token_id" in part):
            part["eos_token_id"] = ending
    older.model_config(content)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _edit(path: Path, change: Callable[[Content], object]) -> None:
    """Change a file of JSON in place, if it is there."""
    if path.is_file():
        content = read_object(path)
        change(content)
        _write(path, content)
