"""Models on the Hugging Face hub: one question first, as a download tries for half a minute."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from curate.base.errors import CurateError
from curate.base.extras import require

SECONDS = 5.0  # to wait for the hub's answer


@lru_cache(maxsize=8)
def place(name: str) -> str:
    """What to load a model by: its folder, its name on the hub, or the copy here of such a name.

    The hub is asked once whether it has the model. Where it cannot be reached, the folder of what
    was downloaded before is taken, and nothing more is asked. Raises `CurateError`.
    """
    if Path(name).is_dir():
        return name
    import huggingface_hub
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    # The hub's own errors and those of the library below it, whichever that is.
    below = [kind for kind in HfHubHTTPError.__bases__ if issubclass(kind, Exception)]
    silent: tuple[type[Exception], ...] = (OSError, ValueError, *below)
    try:
        huggingface_hub.HfApi().model_info(name, timeout=SECONDS)
    except GatedRepoError as error:
        raise CurateError(
            f"{name}: the hub gives this model only to users whom its owner let in; ask there, and "
            "log in with: hf auth login"
        ) from error
    except RepositoryNotFoundError as error:
        raise CurateError(
            f"{name}: there is no such folder here, and no public model of this name on the hub; "
            "check the spelling, or log in with: hf auth login"
        ) from error
    except silent as error:
        return _downloaded(name, error)
    return name


def _downloaded(name: str, error: Exception) -> str:
    """The folder of a model that was downloaded before."""
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(name, local_files_only=True)
    except (OSError, ValueError) as missing:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CurateError(
            f"{name}: there is no such folder here, no copy of a model of this name, and the hub "
            f"cannot be asked ({reason}); check the spelling and the network, or name a folder"
        ) from missing


_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def is_hub_id(name: str) -> bool:
    """`org/name`, and not a path into a folder that is here.

    >>> is_hub_id("org/name"), is_hub_id("org/name/more"), is_hub_id("./name")
    (True, False, False)
    """
    return bool(_ID.fullmatch(name)) and not Path(name.split("/")[0]).exists()


def download(name: str, files: Sequence[str], what: str) -> Path:
    """The files of a model that fit the patterns, in a folder here; `what` starts an error.

    Raises `CurateError` when `huggingface_hub` is not installed, or the hub gives nothing.
    """
    here = f"{what}: no such folder here, and fetching it from the hub"
    require(here, "train", "huggingface_hub")
    import huggingface_hub
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=list(files)))
    except RepositoryNotFoundError as error:
        raise CurateError(
            f"{what}: no such folder here, and no public model of this name on the hub; "
            "check the spelling, or log in with: hf auth login"
        ) from error
    except (OSError, ValueError) as error:  # the hub's own errors are OSErrors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CurateError(
            f"{what}: no such folder here, and the hub gave nothing ({reason}); check "
            "the spelling and the network, or name a folder"
        ) from error
