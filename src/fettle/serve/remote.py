"""A Triton that somebody else runs."""

import contextlib
import time

import tritonclient.http
from tritonclient.utils import InferenceServerException

from fettle.errors import ServeError
from fettle.serve.client import UNREACHABLE, Client, Protocol

TIMEOUT = 120.0


def remote_endpoints(http: str) -> dict[Protocol, str]:
    """Return both services of the Triton whose HTTP service is ``host:port``; gRPC is one port above, as by default.

    Raises:
        ServeError: If it is no such pair.
    """
    host, _, port = http.removeprefix("http://").rpartition(":")
    if not host or not port.isdecimal():
        raise ServeError(f"`serve.endpoint` must look like host:8000, got {http!r}.")
    return {"http": f"{host}:{port}", "grpc": f"{host}:{int(port) + 1}"}


def await_version(endpoint: str, model: str, version: int) -> None:
    """Ask a Triton to load ``model`` and wait until ``version`` answers.

    A Triton that does not let us load, because it polls or another program controls it, is given the time to do so.

    Raises:
        ServeError: If another version, or none, answers in the end.
    """
    refused = contextlib.suppress(InferenceServerException, *UNREACHABLE)
    with tritonclient.http.InferenceServerClient(endpoint, network_timeout=TIMEOUT) as control, refused:
        control.load_model(model)
    deadline = time.monotonic() + TIMEOUT
    while (found := _answering(endpoint, model)) != str(version):
        if time.monotonic() > deadline:
            raise ServeError(f"{model} at {endpoint}: {found}, not version {version}, after {TIMEOUT:.0f} s.")
        time.sleep(1)


def _answering(endpoint: str, model: str) -> str:
    """Return the version that answers, or why none does."""
    try:
        with Client(endpoint, model) as client:
            return client.probe()
    except ServeError as error:
        return str(error)
