"""The scripts that the chart's pods run, as they run them."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer

from .rendering import CHART


def run(
    script: str, *arguments: str, environ: Mapping[str, str] | None = None, timeout: float = 30
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(script, arguments),
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )


def command(script: str, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-c", (CHART / "files" / script).read_text(), *arguments]


def test_buckets_are_made_once(minio_environ: dict[str, str]) -> None:
    environ = {"AWS_REGION": "us-east-1", **minio_environ}
    for _ in range(2):
        done = run("buckets.py", "make", "chart-data", "chart-models", environ=environ)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "chart-data is there\nchart-models is there\n"


def test_a_bucket_is_awaited(minio_environ: dict[str, str]) -> None:
    environ = {"AWS_REGION": "us-east-1", **minio_environ}
    waiting = subprocess.Popen(
        command("buckets.py", ["await", "chart-later"]),
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "chart-later: there is no such bucket; trying again\n"
    run("buckets.py", "make", "chart-later", environ=environ)
    assert waiting.communicate(timeout=30)[0] == "chart-later is there\n"
    assert waiting.returncode == 0


def test_a_port_is_awaited() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        waiting = subprocess.Popen(command("wait_for.py", [address]), stdout=subprocess.PIPE, text=True)
        assert waiting.stdout is not None
        assert "trying again" in waiting.stdout.readline()
        time.sleep(0.5)
        listener.listen()
        assert waiting.wait(timeout=30) == 0
        waiting.stdout.close()


def test_pages_are_asked_for() -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/healthz" else 503)
            self.end_headers()

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_address[1]}"
        assert run("ask_pages.py", f"{here}/healthz").stdout == f"{here}/healthz 200\n"
        assert run("ask_pages.py", f"{here}/healthz", f"{here}/other").returncode == 1
        server.shutdown()
