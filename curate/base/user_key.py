"""The secret that tells what this user's processes wrote from what somebody else did."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from curate.base.places import UNFINISHED


def key_of(folder: Path) -> bytes:
    """The secret that a user's checksums are made with, kept in a file of `folder`.

    One that cannot be kept is made up: then nothing that an earlier process wrote is believed.
    """
    path = folder / "key"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            partial = folder / f"key.{secrets.token_hex(8)}{UNFINISHED}"
            partial.touch(0o600, exist_ok=False)
            partial.write_bytes(secrets.token_bytes(32))
            with suppress(FileExistsError):
                os.link(partial, path)  # never replaces the one that another process just made
            partial.unlink()
        state = path.stat()
        key = path.read_bytes()
        if len(key) == 32 and state.st_uid == os.getuid() and not state.st_mode & 0o077:
            return key
    return secrets.token_bytes(32)
