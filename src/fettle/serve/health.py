"""What Kubernetes and Prometheus ask a keeper: is it alive, does all that is promoted answer, which version."""

import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from fettle.errors import ServeError
from fettle.serve.keeper import Keeper

STUCK = 300.0  # seconds without a look after which the keeper has to be started again; a load may take 120


class Health:
    """An HTTP service: ``/live``, ``/ready`` and ``/metrics`` (the text format of Prometheus).

    Args:
        port: On all addresses; 0 takes a free one.

    Raises:
        ServeError: If the port is occupied.
    """

    def __init__(self, port: int) -> None:
        self._keeper: Keeper | None = None
        self._well, self._last = False, time.monotonic()
        health = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                code, text = health._answer(self.path)
                self.send_response(code)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                """A line every two seconds tells nobody anything."""

        try:
            self._server = ThreadingHTTPServer(("", port), Handler)
        except OSError as error:
            raise ServeError(f"`port` {port} cannot be used ({error.strerror}): choose another one.") from None
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def turn(self) -> None:
        """Say that the keeper goes on."""
        self._last = time.monotonic()

    def tell(self, keeper: Keeper, *, well: bool) -> None:
        """Say how the server was at the last look; what ``keeper`` says is read when somebody asks."""
        self._keeper, self._well = keeper, well
        self.turn()

    @property
    def ready(self) -> bool:
        """Whether the server is well and every promoted model answers."""
        return self._well and self._keeper is not None and self._keeper.ready

    def _answer(self, path: str) -> tuple[int, str]:
        if path == "/live":
            stuck = time.monotonic() - self._last > STUCK
            return (503, "stuck\n") if stuck else (200, "live\n")
        if path == "/ready":
            return (200, "ready\n") if self.ready else (503, "not all that is promoted answers\n")
        if path == "/metrics":
            return 200, metrics(self._keeper, ready=self.ready)
        return 404, "There are /live, /ready and /metrics.\n"


def metrics(keeper: Keeper | None, *, ready: bool) -> str:
    """Return the state as Prometheus' text: what is promoted, what answers, since when."""
    families: dict[str, Mapping[str, object]] = {"fettle_ready": {"": int(ready)}}
    if keeper is not None:
        families["fettle_promoted_version"] = keeper.promoted
        families["fettle_served_version"] = keeper.versions
        families["fettle_promoted_timestamp_seconds"] = keeper.since
    lines = []
    for family, values in families.items():
        lines.append(f"# TYPE {family} gauge")
        for model, value in sorted(values.items()):
            label = f'{{model="{model}"}}' if model else ""
            lines.append(f"{family}{label} {value}")
    return "\n".join(lines) + "\n"
