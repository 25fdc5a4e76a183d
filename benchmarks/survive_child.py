"""A process that has imported everything and forks one for each command: what is killed is work.

Each line of standard input is a command: words, the folder and the environment to run it in, where
its output goes, and what is to befall it. It answers with the id of the process, then with its exit
status. `rename` kills a process before it gives a file or folder its name for the Nth time, with
`after` just when it has; `size` is the most bytes that a file may have. Each process writes down
how many names it has given.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any


def befall(command: dict[str, Any]) -> None:
    """Let happen to this process what is to happen to it."""
    os.setsid()
    os.chdir(command["folder"])
    os.environ |= command["environment"]
    log = os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if command.get("size"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (command["size"], resource.RLIM_INFINITY))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing fails, as on a full disk
    _count_names(command)


def _count_names(command: dict[str, Any]) -> None:
    names = 0
    count = os.open(f"{command['log']}.names", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def wrapped(real: Any) -> Any:
        def name(*given: Any, **more: Any) -> Any:
            nonlocal names
            names += 1
            os.pwrite(count, str(names).encode(), 0)
            if command.get("rename") == names and not command.get("after"):
                os.kill(os.getpid(), signal.SIGKILL)
            done = real(*given, **more)
            if command.get("rename") == names:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return name

    os.replace, os.rename = wrapped(os.replace), wrapped(os.rename)


def main() -> None:
    """Fork and answer until standard input ends."""
    from curate import cli

    for name in sys.argv[1:]:
        importlib.import_module(name)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    for line in sys.stdin:
        command = json.loads(line)
        sys.stdout.flush()
        if (process := os.fork()) == 0:
            answers.close()
            befall(command)
            Path(command["log"]).touch()
            sys.exit(cli.main(command["words"]))
        answers.write(f"{process}\n")
        _, status = os.waitpid(process, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")


if __name__ == "__main__":
    main()
