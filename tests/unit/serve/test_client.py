"""The client without a server."""

import socket
import threading

import numpy as np
import pytest

from fettle.errors import ServeError
from fettle.serve.client import Client, Protocol

BLANK = np.zeros((1, 8, 8, 3), np.uint8)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_nobody_there(protocol: Protocol) -> None:
    with (
        Client("127.0.0.1:9", "m", protocol=protocol, timeout=5) as client,
        pytest.raises(ServeError, match=r"127\.0\.0\.1:9"),
    ):
        client.infer(BLANK)


def test_somebody_else_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(100)
            connection.close()

        threading.Thread(target=hang_up, daemon=True).start()
        endpoint = f"127.0.0.1:{server.getsockname()[1]}"
        with Client(endpoint, "m", timeout=5) as client, pytest.raises(ServeError, match="No Triton answers"):
            client.infer(BLANK)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ServeError, match="protocol"):
        Client("127.0.0.1:9", "m", protocol="ftp")  # type: ignore[arg-type]
    for endpoint in ("https://127.0.0.1:9", "127.0.0.1", "127.0.0.1:9/v2", ""):
        with pytest.raises(ServeError, match="`endpoint`"):
            Client(endpoint, "m")
    with Client("127.0.0.1:9", "m") as client, pytest.raises(ServeError, match="uint8, got float64"):
        client.infer(BLANK.astype(float))
