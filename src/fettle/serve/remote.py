"""Tritons that somebody else runs."""

import contextlib
import socket
import time

from fettle.errors import FettleError, ServeError
from fettle.serve.client import Protocol
from fettle.serve.control import Control
from fettle.storage import Store

TIMEOUT = 120.0


def remote_endpoints(http: str) -> tuple[dict[Protocol, str], ...]:
    """Return both services of each Triton at ``host:port``; gRPC is one port above HTTP, as by default.

    A name may have several addresses, as that of a headless Service in Kubernetes: each is a server of its own.

    Raises:
        ServeError: If it is no such pair, or the name is not known.
    """
    host, _, port = http.removeprefix("http://").rpartition(":")
    if not host or not port.isdecimal():
        raise ServeError(f"`serve.endpoint` must look like host:8000, got {http!r}.")
    return tuple({"http": f"{each}:{port}", "grpc": f"{each}:{int(port) + 1}"} for each in _servers(host))


def _servers(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ServeError(f"`serve.endpoint`: the name {host!r} is not known here ({error.strerror}).") from None
    addresses = sorted({str(address[0]) for *_, address in found})
    return addresses if len(addresses) > 1 else [host]


def await_version(endpoint: str, store: Store, model: str, version: int) -> None:
    """Ask a Triton to load ``model`` and wait until ``version`` answers.

    A Triton that does not let us load, because it polls or another program controls it, is given the time to do so.

    Raises:
        ServeError: If another version, or none, answers in the end.
    """
    control = Control(endpoint, store, timeout=TIMEOUT)
    with contextlib.suppress(FettleError):
        control.load(model)
    deadline = time.monotonic() + TIMEOUT
    while (found := _answering(control, model)) != str(version):
        if time.monotonic() > deadline:
            raise ServeError(f"{model} at {endpoint}: {found}, not version {version}, after {TIMEOUT:.0f} s.")
        time.sleep(1)


def _answering(control: Control, model: str) -> str:
    """Return the version that answers, or why none does."""
    try:
        return control.probe(model)
    except ServeError as error:
        return str(error)
