"""What lies beside the weights in every folder that can be loaded, so that it stops everywhere.

Each runtime learns where an answer ends in a place of its own: `generate` of transformers and vLLM
in `generation_config.json`, a converter to GGUF in the tokenizer's `eos_token`, others in
`config.json`. All are written, with the templates the rows were rendered with and the files that
prepare pictures or sounds for the base.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from trainer.checkpoints import older
from trainer.data.manifest import CARDS
from trainer.data.rows import IGNORED
from trainer.data.tokens import Tokens
from trainer.models import model, weights
from trainer.plan import Plan

Content = dict[str, Any]
_USES_EOS = re.compile(r"\beos_token\b")


def complete(folder: Path, plan: Plan) -> None:
    """Give a folder of weights or adapters its tokenizer, templates, stops and processor files."""
    config = plan.config
    ending = trained_ending(plan.tokens)
    model.copy_tokenizer(config.model, plan.tokenizer, folder, bool(plan.words.added))
    _copy_processor(config.model, folder)
    if plan.tokenizer is not None:
        _write_templates(folder, plan, ending)
        _edit_tokenizer(folder, plan.tokenizer, ending, plan.words.padding)
    if config.objective != "reward":  # which generates nothing
        _write_stops(folder, plan)
    _edit(folder / "config.json", lambda content: _with_ending(content, ending))


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


def _copy_processor(name: str, folder: Path) -> None:
    """The base's files for pictures and sounds, of a folder or of the hub."""
    source = Path(name) if Path(name).is_dir() else model.fetched(name, model.PROCESSOR_FILES)
    for file in model.PROCESSOR_FILES:
        if (source / file).is_file():
            shutil.copyfile(source / file, folder / file)


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

    def settings(content: Content) -> None:
        content.update({**given, **more})
        older.tokenizer_config(content)

    _edit(folder / "tokenizer_config.json", settings)
    _edit(folder / "special_tokens_map.json", lambda content: content.update(given))


def _write_stops(folder: Path, plan: Plan) -> None:
    """Let generation end at the trained stops as well as at those the base model had.

    Stops that are no token are `stop_strings`: `generate` of transformers then asks for the
    tokenizer, to see them.
    """
    path = folder / "generation_config.json"
    content = _read(path) or _base_generation(plan.config.model)
    # Such a one would be made anew from config.json, which has room for one stop.
    content.pop("_from_model_config", None)
    given = content.get("eos_token_id")
    known = [] if given is None else given if isinstance(given, list) else [given]
    content["eos_token_id"] = [*dict.fromkeys([*known, *plan.tokens.stop_ids])]
    texts = [*(content.get("stop_strings") or ()), *plan.tokens.stop_strings]
    if texts:
        content["stop_strings"] = [*dict.fromkeys(texts)]
    _write(path, content)


def _base_generation(name: str) -> Content:
    """How the base generates, for a folder of adapters."""
    base = weights.local_folder(name)
    if found := _read(base / "generation_config.json"):
        return found
    config = _read(base / "config.json")
    text = config.get("text_config") or {}
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    return {key: value for key in names if (value := config.get(key, text.get(key))) is not None}


def _with_ending(content: Content, ending: int | None) -> None:
    """`config.json` whose end of text is the trained one, readable by older versions."""
    parts = [content, *(part for part in [content.get("text_config")] if isinstance(part, dict))]
    for part in parts:
        if ending is not None and (part is content or "eos_token_id" in part):
            part["eos_token_id"] = ending
    older.model_config(content)


def _read(path: Path) -> Content:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _edit(path: Path, change: Callable[[Content], object]) -> None:
    """Change a file of JSON in place, if it is there."""
    if path.is_file():
        content = _read(path)
        change(content)
        _write(path, content)
