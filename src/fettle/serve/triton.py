"""A real Triton on the loopback interface, for as long as a ``with`` block lasts."""

import contextlib
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from fettle.errors import ServeError
from fettle.serve.client import Client, Protocol
from fettle.serve.control import ACCESS, Control
from fettle.serve.environment import find_triton, triton_url
from fettle.serve.ports import LOOPBACK, choose_ports
from fettle.serve.process import ServerProcess
from fettle.storage import open_store

log = logging.getLogger("fettle")
RESTRICTED = "model-repository,shared-memory,logging,trace"
CACHE_BYTES = 64 << 20


class LocalTriton:
    """Starts Triton on a model repository and ends it, with all its processes, on exit.

    Models are loaded explicitly (:meth:`load`); the API for that is restricted to this object.

    Args:
        repository: A folder or ``s3://bucket/prefix``.
        http_port: Port of the HTTP service; by default a free one. The same for ``grpc_port``, ``metrics_port``.
        timeout: Seconds that the start and each load may take.
        environ: Where FETTLE_TRITON and the AWS variables are read.

    Raises:
        ServeError: On entry, if Triton is not installed, a port is occupied, or it does not come up.
    """

    def __init__(
        self,
        repository: str,
        *,
        http_port: int | None = None,
        grpc_port: int | None = None,
        metrics_port: int | None = None,
        timeout: float = 120.0,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.repository, self.timeout = repository, timeout
        self._environ, self._wanted = environ, (http_port, grpc_port, metrics_port)
        self._token = secrets.token_hex(16)
        self._process: ServerProcess | None = None

    def __enter__(self) -> Self:
        if "://" not in self.repository and not Path(self.repository).is_dir():
            raise ServeError(f"There is no model repository at {self.repository}: promote a model first.")
        self._environment = find_triton(self._environ)
        self._ports = choose_ports(*self._wanted)
        self._scratch = Path(tempfile.mkdtemp(prefix="fettle-triton-"))
        store = open_store(self.repository, environ=self._environ)
        self._control = Control(self.http, store, token=self._token, timeout=self.timeout)
        try:
            self._process = self._start()
            self._wait_until_live()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None
        for region in Path("/dev/shm").glob(f"{self._scratch.name}*"):
            region.unlink(missing_ok=True)
        shutil.rmtree(self._scratch, ignore_errors=True)

    @property
    def http(self) -> str:
        """``host:port`` of the HTTP service."""
        return f"{LOOPBACK}:{self._ports[0]}"

    @property
    def grpc(self) -> str:
        """``host:port`` of the gRPC service."""
        return f"{LOOPBACK}:{self._ports[1]}"

    @property
    def metrics(self) -> str:
        """``host:port`` of the Prometheus metrics."""
        return f"{LOOPBACK}:{self._ports[2]}"

    def client(self, model: str, protocol: Protocol = "http") -> Client:
        """Return a new client of ``model``."""
        return Client(self.http if protocol == "http" else self.grpc, model, protocol=protocol)

    def load(self, model: str) -> str:
        """See :meth:`Control.load`."""
        with self._last_words():
            return self._control.load(model)

    def reload(self, model: str) -> str:
        """See :meth:`Control.reload`."""
        with self._last_words():
            return self._control.reload(model)

    def probe(self, model: str) -> str:
        """See :meth:`Control.probe`."""
        with self._last_words():
            return self._control.probe(model)

    def check(self) -> None:
        """Raise :class:`ServeError` with the last words of a server that has died."""
        self._server.check()

    @property
    def pid(self) -> int:
        """Process, and process group, of the server."""
        return self._server.pid

    @property
    def _server(self) -> ServerProcess:
        if self._process is None:
            raise ServeError("This Triton is not running: enter it with `with`.")
        return self._process

    def _start(self) -> ServerProcess:
        backends = self._scratch / "backends"
        self._environment.write_backends(backends)
        variables = self._environment.variables(self._environ)
        log.info("Triton starts on %s (HTTP) and %s (gRPC)", self.http, self.grpc)
        return ServerProcess(self._command(backends), env=variables, log=self._scratch / "triton.log")

    def _command(self, backends: Path) -> list[str]:
        http, grpc, metrics = self._ports
        header = f"{ACCESS}={self._token}"
        flags = {
            "model-repository": triton_url(self.repository, self._environ),
            "model-control-mode": "explicit",
            "backend-directory": backends,
            "cache-directory": self._environment.caches,
            "cache-config": f"local,size={CACHE_BYTES}",
            "http-address": LOOPBACK,
            "http-port": http,
            "http-restricted-api": f"{RESTRICTED}:{header}",
            "grpc-address": LOOPBACK,
            "grpc-port": grpc,
            "grpc-restricted-protocol": f"{RESTRICTED}:{header}",
            "metrics-address": LOOPBACK,
            "metrics-port": metrics,
            "backend-config": f"python,shm-region-prefix-name={self._scratch.name}-",
            "exit-timeout-secs": 5,
        }
        return [str(self._environment.binary), *(f"--{name}={value}" for name, value in flags.items())]

    def _wait_until_live(self) -> None:
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline:
            self.check()
            with contextlib.suppress(ServeError):
                return self._control.check()
            time.sleep(0.05)
        raise ServeError(
            f"Triton was not live after {self.timeout:.0f} s. Its last words:\n{self._server.last_words()}"
        )

    @contextlib.contextmanager
    def _last_words(self) -> Iterator[None]:
        """Let a server that is dead, or dies meanwhile, say why."""
        self.check()
        try:
            yield
        except ServeError:
            self.check()
            raise
