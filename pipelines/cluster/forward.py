"""Port-forwarding: a listener on this machine, a WebSocket to a pod of a Service for every connection.

Kubernetes' own client opens one stream to one pod, buffers without bound, and ends with that stream. Here every
connection picks a pod that is ready, so that a listener outlives the pods behind it.
"""

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from kubernetes.client import V1Pod
from kubernetes.stream.ws_client import create_websocket, get_websocket_url
from websocket import ABNF, WebSocket, WebSocketBadStatusException, WebSocketException

from components.cluster.kube import ClusterError, Kube

CHUNK = 1 << 16
REMEMBERED = 5  # seconds
DATA, ERROR = 0, 1  # channels of the WebSocket


@dataclass(frozen=True)
class Target:
    """Where a Service's port leads: a pod, and its port."""

    pod: str
    namespace: str
    port: int


@contextlib.contextmanager
def forward(kube: Kube, service: str, port: int, *, namespace: str = "") -> Iterator[str]:
    """Yield ``host:port`` on this machine that reaches a Service of the cluster, as long as the block lasts.

    Args:
        kube: The cluster.
        service: Name of the Service.
        port: Its port.
        namespace: Where the Service is; by default that of ``kube``.

    Raises:
        ClusterError: If there is no such Service, none of its pods is ready, or forwarding is not allowed.
    """
    way = _Way(kube, service, port, namespace or kube.namespace)
    way.open().close()  # so that a refusal is said here, and not by some client
    with _listen(way.open) as address:
        yield address


@contextlib.contextmanager
def forward_each(kube: Kube, service: str, port: int, *, namespace: str = "") -> Iterator[dict[str, str]]:
    """Yield ``host:port`` on this machine for each pod of a Service, ready or not, by the pod's name.

    Raises:
        ClusterError: If there is no such Service.
    """
    targets = [target for _, target in find(kube, service, port, namespace or kube.namespace)]
    with contextlib.ExitStack() as stack:
        yield {each.pod: stack.enter_context(_listen(partial(_open, kube, each))) for each in targets}


def find_ready(kube: Kube, service: str, port: int, namespace: str) -> Target:
    """Return a ready pod of a Service.

    Raises:
        ClusterError: If there is none.
    """
    found = find(kube, service, port, namespace)
    for pod, target in found:
        if is_ready(pod):
            return target
    raise ClusterError(
        f"None of the {len(found)} pods of Service {service!r} in namespace {namespace!r} is ready: look at "
        f"`kubectl get pods -n {namespace}`."
    )


def find(kube: Kube, service: str, port: int, namespace: str) -> list[tuple[V1Pod, Target]]:
    """Return the pods of a Service that are not about to go.

    Raises:
        ClusterError: If there is no such Service, or it has no such port.
    """
    found = kube.service(service, namespace)
    if found is None or not found.spec.selector:
        raise ClusterError(f"There is no Service {service!r} with pods in namespace {namespace!r}.")
    asked = next((each for each in found.spec.ports if each.port == port), None)
    if asked is None:
        known = ", ".join(str(each.port) for each in found.spec.ports)
        raise ClusterError(f"Service {service!r} in namespace {namespace!r} has no port {port}, only {known}.")
    pods = kube.pods(",".join(f"{key}={value}" for key, value in found.spec.selector.items()), namespace)
    return [
        (pod, Target(pod.metadata.name, namespace, _number(pod, asked.target_port or port)))
        for pod in pods
        if not pod.metadata.deletion_timestamp
    ]


def is_ready(pod: V1Pod) -> bool:
    """Tell whether a pod takes requests."""
    conditions = pod.status.conditions or []
    return any(each.type == "Ready" and each.status == "True" for each in conditions)


def _number(pod: V1Pod, port: int | str) -> int:
    """Return the number of a port that may be a name."""
    named = {each.name: each.container_port for one in pod.spec.containers for each in one.ports or []}
    return int(named.get(port, port))


class _Way:
    """The way to a Service: its pod is looked up again after some seconds, and when it does not answer."""

    def __init__(self, kube: Kube, service: str, port: int, namespace: str) -> None:
        self._kube, self._service = kube, (service, port, namespace)
        self._found = 0.0
        self._target: Target | None = None

    def open(self) -> WebSocket:
        if self._target and time.monotonic() - self._found < REMEMBERED:
            with contextlib.suppress(ClusterError):
                return _open(self._kube, self._target)
        self._target, self._found = find_ready(self._kube, *self._service), time.monotonic()
        return _open(self._kube, self._target)


def _open(kube: Kube, target: Target) -> WebSocket:
    headers: dict[str, str] = {}
    kube.api.update_params_for_auth(headers, [], ["BearerToken"])
    path = f"/api/v1/namespaces/{target.namespace}/pods/{target.pod}/portforward"
    url = get_websocket_url(kube.api.configuration.host + path, [("ports", str(target.port))])
    try:
        return create_websocket(kube.api.configuration, url, headers)
    except WebSocketBadStatusException as error:
        text = (error.resp_body or b"").decode(errors="replace")
        raise ClusterError(
            f"Port-forwarding to pod {target.pod} is refused (HTTP {error.status_code}): it takes the verbs get and "
            f"create on pods/portforward in namespace {target.namespace!r}. {text}".strip()
        ) from None
    except (WebSocketException, OSError) as error:
        raise ClusterError(f"Port-forwarding to pod {target.pod} failed: {error}.") from None


@contextlib.contextmanager
def _listen(open_way: Callable[[], WebSocket]) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        threading.Thread(target=_accept, args=(listener, open_way), daemon=True).start()
        host, local = listener.getsockname()
        try:
            yield f"{host}:{local}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, open_way: Callable[[], WebSocket]) -> None:
    with contextlib.suppress(OSError):  # closed: the block is over
        while True:
            local, _ = listener.accept()
            threading.Thread(target=_serve, args=(local, open_way), daemon=True).start()


def _serve(local: socket.socket, open_way: Callable[[], WebSocket]) -> None:
    """Carry one connection. Whatever breaks closes it: that is what its client understands."""
    with local, contextlib.suppress(ClusterError, OSError, WebSocketException):
        remote = open_way()
        try:
            _carry(local, remote)
        finally:
            remote.close(timeout=1)


def _carry(local: socket.socket, remote: WebSocket) -> None:
    greeted: set[int] = set()
    while True:
        waiting = remote.sock.pending() if isinstance(remote.sock, ssl.SSLSocket) else 0
        readable = [remote.sock] if waiting else select.select([local, remote.sock], [], [])[0]
        if local in readable:
            data = local.recv(CHUNK)
            if not data:
                return
            remote.send_binary(bytes([DATA]) + data)
        if remote.sock in readable and not _receive(local, remote, greeted):
            return


def _receive(local: socket.socket, remote: WebSocket, greeted: set[int]) -> bool:
    """Pass on one frame; tell whether more may come. The first frame of each channel is the port's number."""
    opcode, frame = remote.recv_data_frame(True)
    if opcode == ABNF.OPCODE_CLOSE:
        return False
    if opcode != ABNF.OPCODE_BINARY:
        return True
    data: Any = frame.data
    channel = data[0]
    if channel not in greeted:
        greeted.add(channel)
    elif channel == ERROR:
        return False
    else:
        local.sendall(data[1:])
    return True
