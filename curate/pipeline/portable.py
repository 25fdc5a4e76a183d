"""Tasks and errors on their way to another process, and what a user's own code needs there."""

from __future__ import annotations

import pickle
import traceback
from typing import Any

from curate.base.errors import CurateError, one_line
from curate.base.user_code import Registered, register_again, registered

# A task, and the files of a user's own that define what is in it.
Pickled = tuple[Registered, bytes]


def pickled(task: object) -> Pickled:
    """A task for another process."""
    content = pickle.dumps(task)
    # Others that this process once used may be gone, or changed, by now.
    named = {name: read for name, read in registered().items() if name.encode() in content}
    return named, content


def unpickled(given: Pickled) -> Any:
    """The task, of what this program pickled. Raises what `register_again` raises."""
    files, content = given
    register_again(files)
    return pickle.loads(content)


def portable(error: Exception) -> Exception:
    """The error, if it can be sent to another process; what a developer needs goes with it."""
    if not isinstance(error, CurateError):
        error.add_note("in a worker:\n" + "".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever its class does when it is copied; what it says is kept
        return RuntimeError(one_line(error))
    return error
