"""Free ports on the loopback interface."""

import contextlib
import socket

from fettle.errors import ServeError

LOOPBACK = "127.0.0.1"


def choose_ports(*wanted: int | None) -> tuple[int, ...]:
    """Return the wanted ports, a free one for each ``None``.

    Raises:
        ServeError: If a wanted port is occupied.
    """
    with contextlib.ExitStack() as sockets:
        return tuple(_bound(sockets.enter_context(socket.socket()), port) for port in wanted)


def _bound(probe: socket.socket, port: int | None) -> int:
    # As the server itself does: a port of a connection that has just ended is free.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((LOOPBACK, port or 0))
    except OSError as error:
        raise ServeError(f"Port {port} cannot be used ({error.strerror}): choose another one.") from None
    return int(probe.getsockname()[1])
