"""Tokenizers from a folder, without transformers or torch.

Reads `tokenizer.json`, or else SentencePiece's `tokenizer.model`, and, where present,
`tokenizer_config.json`, `special_tokens_map.json`, `generation_config.json`,
`chat_template.jinja` and `additional_chat_templates/*.jinja`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers

from curate.base import hub
from curate.base.errors import CurateError, shown
from curate.base.extras import require
from curate.base.models import explained, read_backend
from templates.tokenizer.sentencepiece import backend_of, read_model
from templates.tokenizer.tokenizer import (
    LONGEST_ADDED,
    Tokenizer,
    make_slow_tokenizer,
    make_tokenizer,
    with_tokens,
)

SPECIAL = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "generation_config.json",
    "chat_template.jinja",
    "additional_chat_templates/*.jinja",
)


def load_tokenizer(name: str, add: Sequence[str] = ()) -> Tokenizer:
    """The tokenizer in a folder, or of a model on the Hugging Face hub (`org/name`).

    `add` are functional tokens: texts that are one token wherever they stand, in content too,
    and that are trained like words. Those the vocabulary lacks are added to it. Raises
    `CurateError` if there is no such folder or it holds no readable `tokenizer.json`.
    """
    tokenizer = _load(name)
    return with_tokens(tokenizer, add) if add else tokenizer


def _load(name: str) -> Tokenizer:
    """A tokenizer as its folder has it."""
    folder = Path(name).expanduser()
    if folder.name == "tokenizer.json" and folder.is_file():
        folder = folder.parent
    if folder.is_dir():
        return read_folder(folder, name, {"folder": name})
    if not hub.is_hub_id(name):
        raise CurateError(
            f"tokenizer {name}: there is no such folder; give one with tokenizer.json"
        )
    downloaded = hub.download(name, FILES, f"tokenizer {name}")
    return read_folder(downloaded, name, {"hub": name, "revision": downloaded.name})


def read_folder(folder: Path, name: str, origin: Mapping[str, str]) -> Tokenizer:
    """The tokenizer whose files lie in a folder. Raises `CurateError` for unreadable ones."""
    config = _read_json(folder / "tokenizer_config.json")
    named = {**_read_json(folder / "special_tokens_map.json"), **config}
    eos = _read_json(folder / "generation_config.json").get("eos_token_id")
    eos_ids = _ids(eos, folder / "generation_config.json")
    chat_templates = _chat_templates(folder, config.get("chat_template"))
    special = _special(named)
    if not any((folder / file).is_file() for file in FILES[:2]) and config.get("tokenizer_class"):
        inner = _python(folder, name, config)
        special = _special(inner.special_tokens_map) | special
        if not inner.is_fast:
            return make_slow_tokenizer(inner, special, eos_ids, chat_templates, name, origin)
        backend, raw = inner.backend_tokenizer, inner.backend_tokenizer.to_str().encode()
    else:
        backend, own, raw = _read_backend(folder, name, config)
        special = own | special
    return make_tokenizer(backend, special, eos_ids, chat_templates, name, raw, origin)


def _python(folder: Path, name: str, config: Mapping[str, Any]) -> Any:
    """The tokenizer of a folder that only the class in transformers can read."""
    lacks = f"tokenizer {name}: the folder has no tokenizer.json and no tokenizer.model"
    require(f"{lacks}; reading it otherwise", "train", "transformers")
    import transformers

    kind: Any = getattr(transformers, str(config["tokenizer_class"]), None)
    # What else transformers has of that name, a module or a function, is no tokenizer.
    if not hasattr(kind, "from_pretrained") or not hasattr(kind, "vocab_files_names"):
        raise CurateError(
            f"{lacks}, and transformers has no {config['tokenizer_class']}; code of its own is not "
            "run"
        )
    with explained(name, f"tokenizer, a {config['tokenizer_class']},"):
        files = [file for file in kind.vocab_files_names.values() if file != FILES[0]]
        if files and not any((folder / file).is_file() for file in files):
            raise CurateError(  # transformers would make up a vocabulary of its own
                f"{lacks}, and none of the files of a {config['tokenizer_class']}: "
                f"{', '.join(files)}"
            )
        return kind.from_pretrained(folder, local_files_only=True)


def _read_backend(
    folder: Path, name: str, config: Mapping[str, Any]
) -> tuple[tokenizers.Tokenizer, dict[str, str], bytes]:
    """The tokenizer, the special tokens that its own file names, and the file's bytes."""
    path = folder / "tokenizer.json"
    if path.is_file():
        return read_backend(path), {}, path.read_bytes()
    path = folder / "tokenizer.model"
    if not path.is_file():
        raise CurateError(
            f"tokenizer {name}: the folder has no tokenizer.json and no tokenizer.model"
        )
    model = read_model(path)
    backend = backend_of(model, path, config.get("legacy") is True)
    bos = backend.token_to_id(model.special.get("bos_token", ""))
    if config.get("add_bos_token", True) and bos is not None:
        text = model.special["bos_token"]
        backend.post_processor = tokenizers.processors.TemplateProcessing(
            f"{text} $A", special_tokens=[(text, bos)]
        )
    return backend, dict(model.special), path.read_bytes()


def _special(named: Mapping[str, Any]) -> dict[str, str]:
    """The special tokens as templates see them: `bos_token`, ... and a model's own names."""
    extra = named.get("extra_special_tokens")
    values = {f"{name}_token": named.get(f"{name}_token") for name in SPECIAL}
    values |= extra if isinstance(extra, Mapping) else {}
    texts = {name: _token_text(value) for name, value in values.items()}
    return {name: text for name, text in texts.items() if text}


def _token_text(value: Any) -> str | None:
    text = value.get("content") if isinstance(value, Mapping) else value
    if isinstance(text, str) and len(text) > LONGEST_ADDED:
        raise CurateError(f"a special token is {shown(text, 40)}; no model has one so long")
    return text if isinstance(text, str) else None


def _chat_templates(folder: Path, configured: Any) -> dict[str, str]:
    """Chat templates by name; files win over the configuration, as in transformers."""
    found: dict[str, str] = {}
    if isinstance(configured, str):
        found["default"] = configured
    elif isinstance(configured, list | Mapping):
        named = configured if isinstance(configured, Mapping) else _by_name(configured)
        found |= {k: v for k, v in named.items() if isinstance(k, str) and isinstance(v, str)}
    if (path := folder / "chat_template.jinja").is_file():
        found["default"] = _read_text(path)
    for path in sorted(folder.glob("additional_chat_templates/*.jinja")):
        found[path.stem] = _read_text(path)
    return found


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise CurateError(f"{path}: not a text file in UTF-8 ({error.reason})") from error


def _ids(given: Any, path: Path) -> list[int]:
    """The ids at which generation stops, from one or a list of them."""
    ids = [] if given is None else given if isinstance(given, list) else [given]
    if any(type(number) is not int or not -1 <= number < 2**31 for number in ids):
        raise CurateError(
            f"{path}: eos_token_id is {shown(given)}; expected one id or a list of them"
        )
    return ids


def _by_name(entries: Sequence[Any]) -> dict[Any, Any]:
    """Templates that a list names one by one."""
    named = [entry for entry in entries if isinstance(entry, Mapping)]
    return {entry.get("name"): entry.get("template") for entry in named}


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CurateError(f"{path}: no readable JSON: {error}") from error
    if not isinstance(value, dict):
        raise CurateError(f"{path}: expected a JSON object, got {type(value).__name__}")
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = shown(error.object[error.start : error.end])
        raise CurateError(f"{path}: holds half a character, {half}, which is no text") from error
    return value
