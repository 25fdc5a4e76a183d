"""Tokenizers from a folder, without transformers or torch.

Reads `tokenizer.json`, or else SentencePiece's `tokenizer.model`, and, where present,
`tokenizer_config.json`, `special_tokens_map.json`, `generation_config.json`,
`chat_template.jinja` and `additional_chat_templates/*.jinja`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.base.errors import CurateError
from templates.encoding.foreign import python_tokenizer
from templates.encoding.sentencepiece import backend_of, read_model
from templates.encoding.tokenizer import Tokenizer, make_tokenizer, with_tokens

if TYPE_CHECKING:
    import tokenizers

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
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def load_tokenizer(name: str, add: Sequence[str] = ()) -> Tokenizer:
    """The tokenizer in a folder, or of a model on the Hugging Face hub (`org/name`).

    `add` are functional tokens: texts that are one token wherever they stand, in content too,
    and that are trained like words. Those the vocabulary lacks are added to it. Raises
    `CurateError` if there is no such folder or it holds no readable `tokenizer.json`.
    """
    found = _load(name)
    return with_tokens(found, add) if add else found


def _load(name: str) -> Tokenizer:
    """A tokenizer as its folder has it."""
    folder = Path(name).expanduser()
    if folder.name == "tokenizer.json" and folder.is_file():
        folder = folder.parent
    if folder.is_dir():
        return read_folder(folder, name, {"folder": name})
    if not _is_hub_id(name):
        raise CurateError(
            f"tokenizer {name}: there is no such folder; give one with tokenizer.json"
        )
    downloaded = _download(name)
    return read_folder(downloaded, name, {"hub": name, "revision": downloaded.name})


def _is_hub_id(name: str) -> bool:
    """`org/name`, and not a path into a folder that is here."""
    return bool(HUB_ID.fullmatch(name)) and not Path(name.split("/")[0]).exists()


def _download(name: str) -> Path:
    try:
        import huggingface_hub
    except ImportError as error:
        raise CurateError(
            f"tokenizer {name}: no such folder here, and fetching it from the hub needs "
            'huggingface_hub; pip install "curate-sft[train]"'
        ) from error
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(FILES)))
    except RepositoryNotFoundError as error:
        raise CurateError(
            f"tokenizer {name}: no such folder here, and no public model of this name on the hub; "
            "check the spelling, or log in with: hf auth login"
        ) from error
    except (OSError, ValueError) as error:  # the hub's own errors are OSErrors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CurateError(
            f"tokenizer {name}: no such folder here, and the hub gave nothing ({reason}); check "
            "the spelling and the network, or name a folder"
        ) from error


def read_folder(folder: Path, name: str, origin: Mapping[str, str]) -> Tokenizer:
    """The tokenizer whose files lie in a folder. Raises `CurateError` for unreadable ones."""
    config = _read_json(folder / "tokenizer_config.json")
    named = {**_read_json(folder / "special_tokens_map.json"), **config}
    eos = _read_json(folder / "generation_config.json").get("eos_token_id")
    eos_ids = [] if eos is None else [eos] if isinstance(eos, int) else eos
    chat_templates = _chat_templates(folder, config.get("chat_template"))
    special = _special(named)
    if not any((folder / file).is_file() for file in FILES[:2]) and config.get("tokenizer_class"):
        inner = _python(folder, name, config)
        special = _special(inner.special_tokens_map) | special
        if not inner.is_fast:
            return python_tokenizer(inner, special, eos_ids, chat_templates, name, origin)
        backend, raw = inner.backend_tokenizer, inner.backend_tokenizer.to_str().encode()
    else:
        backend, own, raw = _read_backend(folder, name, config)
        special = own | special
    return make_tokenizer(backend, special, eos_ids, chat_templates, name, raw, origin)


def _python(folder: Path, name: str, config: Mapping[str, Any]) -> Any:
    """The tokenizer of a folder that only the class in transformers can read."""
    try:
        import transformers
    except ImportError as error:
        raise CurateError(
            f"tokenizer {name}: the folder has no tokenizer.json and no tokenizer.model; reading "
            'it otherwise needs transformers; pip install "curate-sft[train]"'
        ) from error
    kind = getattr(transformers, config["tokenizer_class"], None)
    if kind is None:
        raise CurateError(
            f"tokenizer {name}: the folder has no tokenizer.json and no tokenizer.model, and "
            f"transformers has no {config['tokenizer_class']}; code of its own is not run"
        )
    files = [file for file in kind.vocab_files_names.values() if file != FILES[0]]
    if files and not any((folder / file).is_file() for file in files):
        raise CurateError(  # transformers would make up a vocabulary of its own
            f"tokenizer {name}: the folder has no tokenizer.json, no tokenizer.model and none of "
            f"the files of a {config['tokenizer_class']}: {', '.join(files)}"
        )
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # transformers raises anything here
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CurateError(
            f"tokenizer {name}: the folder has no tokenizer.json and no tokenizer.model, and "
            f"transformers cannot read it as {config['tokenizer_class']}: {reason}"
        ) from error


def _read_backend(
    folder: Path, name: str, config: Mapping[str, Any]
) -> tuple[tokenizers.Tokenizer, dict[str, str], bytes]:
    """The tokenizer, the special tokens that its own file names, and the file's bytes."""
    import tokenizers

    path = folder / "tokenizer.json"
    if path.is_file():
        raw = path.read_bytes()
        try:
            return tokenizers.Tokenizer.from_buffer(raw), {}, raw
        except Exception as error:  # the library raises bare Exception
            raise CurateError(f"{path}: no readable tokenizer: {error}") from error
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
    return text if isinstance(text, str) else None


def _chat_templates(folder: Path, configured: Any) -> dict[str, str]:
    """Chat templates by name; files win over the configuration, as in transformers."""
    found: dict[str, str] = {}
    if isinstance(configured, str):
        found["default"] = configured
    elif isinstance(configured, list):
        entries = [entry for entry in configured if isinstance(entry, Mapping)]
        named = {entry.get("name"): entry.get("template") for entry in entries}
        found |= {k: v for k, v in named.items() if isinstance(k, str) and isinstance(v, str)}
    if (path := folder / "chat_template.jinja").is_file():
        found["default"] = path.read_text("utf-8")
    for path in sorted(folder.glob("additional_chat_templates/*.jinja")):
        found[path.stem] = path.read_text("utf-8")
    return found


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise CurateError(f"{path}: no readable JSON: {error}") from error
    if not isinstance(value, dict):
        raise CurateError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value
