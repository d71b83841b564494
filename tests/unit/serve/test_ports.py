"""Free and occupied ports."""

import socket

import pytest

from fettle.errors import ServeError
from fettle.serve.ports import choose_ports


def test_free_ports_differ_and_can_be_bound() -> None:
    ports = choose_ports(None, None, None)
    assert len(set(ports)) == 3
    for port in ports:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


def test_a_wanted_port_is_given_or_refused() -> None:
    (port,) = choose_ports(None)
    assert choose_ports(None, port)[1] == port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(ServeError, match=f"Port {port} cannot be used"):
            choose_ports(port)
