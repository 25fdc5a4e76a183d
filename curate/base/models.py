"""Models and tokenizers of a folder or of the hub, loaded so that nothing of a stranger's runs.

Weights come from safetensors alone, code of a model's own is never run, weights that are not there
are an error instead of random numbers, and whatever goes wrong is one sentence.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from curate.base.errors import CurateError, brief
from curate.base.patterns import check_patterns
from curate.base.progress import quiet_transformers

if TYPE_CHECKING:
    import tokenizers
    import torch

Kind = Literal["causal", "score"]


def read_backend(path: Path) -> tokenizers.Tokenizer:
    """The tokenizer of a `tokenizer.json`. Raises `CurateError` when it cannot be read."""
    import tokenizers

    data = path.read_bytes()
    check_patterns(data, path)
    try:
        with _without_noise():
            return tokenizers.Tokenizer.from_buffer(data)
    except BaseException as error:  # the library raises bare Exception for a malformed file
        if not isinstance(error, Exception) and not _is_panic(error):
            raise
        raise CurateError(f"{path}: no readable tokenizer: {brief(str(error))}") from error


def _is_panic(error: BaseException) -> bool:
    """Whether a library written in Rust gave up: that is no `Exception`."""
    return type(error).__name__ == "PanicException"


@contextmanager
def _without_noise() -> Iterator[None]:
    """What a panic writes on standard error by itself goes nowhere: it is raised as well."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def load_tokenizer(name: str, local: bool = False) -> Any:
    """The tokenizer of a model as transformers reads it; `local` asks no server.

    Raises `CurateError`.
    """
    from transformers import AutoTokenizer

    file = _tokenizer_file(name, local)
    if file is not None:
        read_backend(file)  # in one sentence what is wrong with it, and no pattern that is slow
    with explained(name, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(
            name, local_files_only=local, trust_remote_code=False
        )
    if file is None and tokenizer.is_fast:  # made by transformers of files that have no patterns
        check_patterns(tokenizer.backend_tokenizer.to_str().encode(), Path(name))
    longest = tokenizer.model_max_length  # which transformers compares with a number at every text
    if not isinstance(longest, int | float):
        raise CurateError(
            f"{name}: the tokenizer's model_max_length is {str(longest)!r:.40}; expected a number"
        )
    return tokenizer


def _tokenizer_file(name: str, local: bool) -> Path | None:
    """The `tokenizer.json` of a folder, or of a model on the hub, which is fetched; None without.

    Raises `CurateError` where the hub does not give it.
    """
    if Path(name).is_dir():
        file = Path(name) / "tokenizer.json"
        return file if file.is_file() else None
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError

    try:
        with explained(name, "tokenizer"):
            try:
                return Path(
                    huggingface_hub.hf_hub_download(name, "tokenizer.json", local_files_only=local)
                )
            except EntryNotFoundError:
                return None
    except CurateError:
        if local:  # what was downloaded before may lack it; whoever loads says what is missing
            return None
        raise


def load_model(
    name: str,
    kind: Kind,
    dtype: torch.dtype,
    *,
    local: bool = False,
    may_lack: Sequence[str] = (),
    **more: Any,
) -> Any:
    """A causal language model, or one that gives a row a score, on the CPU unless `more` says.

    `may_lack` are weights that may be new. `more` goes to `from_pretrained`. Raises `CurateError`
    for what cannot be read, and for weights that are not all there.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    kinds: dict[str, Any] = {
        "causal": AutoModelForCausalLM,
        "score": AutoModelForSequenceClassification,
    }
    with quiet_transformers(), explained(name, "model"):
        model, found = kinds[kind].from_pretrained(
            name,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=local,
            output_loading_info=True,
            **more,
        )
    missing = sorted(key for key in found["missing_keys"] if key not in may_lack)
    if missing:
        raise CurateError(
            f"{name}: its weights lack {len(missing)} that the model needs (first {missing[0]}), "
            "which would be drawn at random; is it whole, and of the kind its config.json says?"
        )
    return model


@contextmanager
def explained(name: str, what: str) -> Iterator[None]:
    """Turn a loading error into one line that names the model."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    # What a changed or half-written file of a model makes its libraries raise.
    odd = (
        *(OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
        *(ImportError, RuntimeError, SafetensorError, StrictDataclassError),
    )
    try:
        yield
    except CurateError:
        raise
    except BaseException as error:
        # That of tokenizers raises `Exception` itself.
        if not isinstance(error, odd) and type(error) is not Exception and not _is_panic(error):
            raise
        first = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise CurateError(
            f"{name}: its {what} cannot be loaded: {type(error).__name__}: {first}"
        ) from error
