"""A server that answers as Kubernetes' API does."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from kubernetes.client import ApiClient, Configuration


@dataclass
class Server:
    """What it answers to every request, and what it was asked for last."""

    url: str = ""
    status: int = 200
    body: bytes = b""
    asked: str = ""

    def say(self, status: int, message: str) -> None:
        self.status, self.body = status, json.dumps({"message": message}).encode()

    @property
    def client(self) -> ApiClient:
        settings = Configuration(host=self.url)
        settings.retries = False
        return ApiClient(settings)


@pytest.fixture
def server() -> Iterator[Server]:
    answers = Server()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            answers.asked = self.path
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(answers.status)
            self.send_header("Content-Length", str(len(answers.body)))
            self.end_headers()
            self.wfile.write(answers.body)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - names of the library

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        answers.url = f"http://127.0.0.1:{listening.server_port}"
        Thread(target=listening.serve_forever, daemon=True).start()
        yield answers
        listening.shutdown()
