"""The real server on a free port, for every test of this folder. `INTEROP_URL` names another LiveKit-protocol server
instead, which shows whether a test holds for the original as well."""

from __future__ import annotations

import http.server
import os
import pathlib
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from participant import Participant

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


class Hook(http.server.BaseHTTPRequestHandler):
    """Takes what the server tells by webhook."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.notices.append((body, self.headers["authorization"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Receiver(http.server.ThreadingHTTPServer):
    """Receives webhooks; `notices` are bodies with their `Authorization`."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), Hook)
        self.notices: list[tuple[str, str]] = []
        #: Connections whose handshake failed.
        self.failed = 0
        self._tls = tls

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        if self._tls is None:
            return connection, address
        try:
            return self._tls.wrap_socket(connection, server_side=True), address
        except OSError:
            self.failed += 1
            raise


@contextmanager
def listening(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    with Receiver(tls) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        yield receiver
        receiver.shutdown()


@contextmanager
def serving(
    hook: str | None, folder: pathlib.Path, log_name: str, port: int | None = None, **environment: str
) -> Iterator[str]:
    """A server that sends its webhooks there, if anywhere; its WebSocket address."""
    port = port or free_port()
    config = folder / "konklave.toml"
    config.write_text(f'[webhook]\nurls = ["{hook}"]\napi_key = "devkey"\n' if hook else "")
    logs = ROOT / "target/ci/logs"
    logs.mkdir(parents=True, exist_ok=True)
    with (logs / f"{log_name}.log").open("wb") as log:
        command = [BINARY, "serve", "--dev", "--config", config, "--port", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | environment)
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


@pytest.fixture(scope="session")
def hook() -> Iterator[Receiver]:
    """Where the webhooks of the server go that all tests share."""
    with listening() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def url(hook: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """WebSocket address of the server."""
    if other := os.environ.get("INTEROP_URL"):
        yield other
        return
    with serving(f"http://127.0.0.1:{hook.server_port}/", tmp_path_factory.mktemp("server"), "server-interop") as own:
        yield own


@pytest.fixture(params=[True, False], ids=["one-connection", "two-connections"])
def connections(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a test twice: with the newer protocol, of one peer connection, and with the older one, of two."""
    monkeypatch.setattr(Participant, "single_peer_connection", request.param)


@pytest.fixture
def room(request: pytest.FixtureRequest) -> str:
    """A room name of the test's own."""
    return request.node.name.replace("_", "-").replace("[", "-").replace("]", "").lower()[-64:].lstrip("-")
