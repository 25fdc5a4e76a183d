"""`transformers serve` with the bundled toy model, on a loopback port: no test double."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

ROOT = Path(__file__).resolve().parent.parent
MODEL = "sample_data/tiny-base"
PATIENCE = 90  # seconds until it is healthy: 10 on an idle machine


@contextmanager
def real_server(folder: Path) -> Iterator[str]:
    """Its address, http://127.0.0.1:PORT. Its log and its empty hub cache lie in `folder`."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", MODEL]
    command += ["--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    settings = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hub"), "OMP_NUM_THREADS": "1"}
    log = folder / "server.log"
    with log.open("wb") as words:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | settings, stdout=words, stderr=words
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(process, address, log)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < until:
        try:
            if httpx2.get(f"{address}/health", timeout=5).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"transformers serve did not start\n{log.read_text('utf-8')[-2000:]}")
