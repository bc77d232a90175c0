"""The real server on a free port, for every test of this folder. `INTEROP_URL` names another LiveKit-protocol server
instead, which shows whether a test holds for the original as well."""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("KONKLAVE_BINARY", ROOT / "target/debug/konklave"))


def free_port() -> int:
    """A port free for TCP and UDP."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            port = tcp.getsockname()[1]
            try:
                udp.bind(("0.0.0.0", port))
            except OSError:
                continue
            return port


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """WebSocket address of the server."""
    if other := os.environ.get("INTEROP_URL"):
        yield other
        return
    port = free_port()
    logs = ROOT / "target/ci/logs"
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / "server-interop.log").open("wb") as log:
        server = subprocess.Popen([BINARY, "serve", "--dev", "--port", str(port)], stdout=log, stderr=log)
        try:
            end = time.monotonic() + 20
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
                    break
                except urllib.error.URLError:
                    assert server.poll() is None, f"konklave ended with {server.returncode}; see {log.name}"
                    assert time.monotonic() < end, "konklave does not answer"
                    time.sleep(0.05)
            yield f"ws://127.0.0.1:{port}"
            assert server.poll() is None, "the server ended by itself"
        finally:
            server.terminate()
            try:
                server.wait(5)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


@pytest.fixture
def room(request: pytest.FixtureRequest) -> str:
    """A room name of the test's own."""
    return request.node.name.replace("_", "-").replace("[", "-").rstrip("]").lower()[:64]
