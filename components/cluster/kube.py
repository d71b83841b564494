"""The Kubernetes API, of a context or of the pod that this process is in, with errors that say what to do."""

import base64
import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import urllib3
from kubernetes import config
from kubernetes.client import ApiClient, ApiException, Configuration, CoreV1Api, CustomObjectsApi, V1Pod, V1Service

from components.cluster.reasons import MAIN
from fettle.errors import FettleError

TIMEOUT = (5, 30)  # seconds to connect and to answer
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
UNREACHED = 0  # stands for an HTTP status where there is no answer
REMEDIES = {UNREACHED: "start it, or choose another context", 401: "log in to it again"}  # a person's; a pod has none
REFUSALS = {401: "does not know who you are", 403: "does not allow it"}


class ClusterError(FettleError):
    """The cluster cannot be reached, refuses, or lacks a part."""


@dataclass(frozen=True)
class Kube:
    """One namespace of one cluster.

    Attributes:
        context: Name of the context in the kubeconfig.
        namespace: Where everything happens.
        api: Client with the address and the credentials of the API server.
        remedies: HTTP status -> what the reader of an error can do about it.
    """

    context: str
    namespace: str
    api: ApiClient
    remedies: Mapping[int, str] = field(default_factory=lambda: REMEDIES)

    def config_map(self, name: str) -> Mapping[str, str] | None:
        """Return the data of a ConfigMap, ``None`` where there is none."""
        found = self._get(self._core.read_namespaced_config_map, name)
        return None if found is None else found.data or {}

    def secret(self, name: str) -> Mapping[str, str]:
        """Return the decoded data of a Secret.

        Raises:
            ClusterError: If there is none, or it may not be read.
        """
        found = self._get(self._core.read_namespaced_secret, name)
        if found is None:
            raise ClusterError(f"There is no Secret {name!r} in namespace {self.namespace!r}.")
        return {key: base64.b64decode(value).decode() for key, value in (found.data or {}).items()}

    def service(self, name: str, namespace: str) -> V1Service | None:
        """Return a Service, ``None`` where there is none."""
        return self._get(self._core.read_namespaced_service, name, namespace)

    def pods(self, selector: str, namespace: str = "") -> list[V1Pod]:
        """Return the pods with these labels."""
        with self.explained():
            found = self._core.list_namespaced_pod(
                namespace or self.namespace, label_selector=selector, _request_timeout=TIMEOUT
            )
        return list(found.items)

    def pod(self, name: str) -> V1Pod | None:
        """Return a pod, ``None`` where there is none."""
        return self._get(self._core.read_namespaced_pod, name)

    def events(self, pod: str) -> list[str]:
        """Return the reasons of the events of a pod; nothing where they may not be read."""
        with contextlib.suppress(ApiException, urllib3.exceptions.HTTPError):
            found = self._core.list_namespaced_event(
                self.namespace, field_selector=f"involvedObject.name={pod}", _request_timeout=TIMEOUT
            )
            return [str(event.reason) for event in found.items]
        return []

    def has_workflow(self, selector: str) -> bool:
        """Tell whether Argo knows a workflow with these labels, as far as one may ask."""
        with contextlib.suppress(ApiException, urllib3.exceptions.HTTPError):
            found = CustomObjectsApi(self.api).list_namespaced_custom_object(
                "argoproj.io", "v1alpha1", self.namespace, "workflows", label_selector=selector,
                _request_timeout=TIMEOUT,
            )  # fmt: skip
            return bool(found["items"])
        return True

    def log(self, pod: str, *, container: str = MAIN, lines: int | None = None, timestamps: bool = False) -> list[str]:
        """Return what a pod's container said; nothing where it is lost, or not there yet.

        Args:
            pod: Its name.
            container: Name of the container.
            lines: How many at most, the last ones; by default all.
            timestamps: Put the time before each line.
        """
        with contextlib.suppress(ApiException, urllib3.exceptions.HTTPError):
            answer = self._core.read_namespaced_pod_log(
                pod, self.namespace, container=container, tail_lines=lines, timestamps=timestamps,
                _request_timeout=TIMEOUT,
                _preload_content=False,  # else the client takes a log that is JSON for an object
            )  # fmt: skip
            return str(answer.data.decode(errors="replace")).splitlines()
        return []

    @contextlib.contextmanager
    def explained(self, what: str = "") -> Iterator[None]:
        """Turn what the client raises into one sentence; ``what`` could not be done, if that says more than a refusal.

        Raises:
            ClusterError: What was raised.
        """
        cluster = f"The cluster of context {self.context!r}"
        try:
            yield
        except ApiException as error:
            refused = f"{cluster} {REFUSALS.get(error.status, f'refused (HTTP {error.status})')}"
            raise ClusterError(self._say(what or refused, _reason(error), error.status)) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            lost = f"{cluster} cannot be reached at {self.api.configuration.host}"
            raise ClusterError(self._say(lost, _innermost(error), UNREACHED)) from None

    def _say(self, what: str, reason: str, status: int) -> str:
        remedy = self.remedies.get(status)
        return f"{what} ({reason}): {remedy}." if remedy else f"{what}: {reason}."

    @property
    def _core(self) -> CoreV1Api:
        return CoreV1Api(self.api)

    def _get(self, read: Any, name: str, namespace: str = "") -> Any:
        with self.explained(), tolerated(404):
            return read(name, namespace or self.namespace, _request_timeout=TIMEOUT)
        return None


@contextlib.contextmanager
def tolerated(status: int) -> Iterator[None]:
    """Pass over an answer of this HTTP status."""
    try:
        yield
    except ApiException as error:
        if error.status != status:
            raise


def connect(*, context: str | None = None, namespace: str | None = None) -> Kube:
    """Return the cluster of a context of the kubeconfig, or the one that this process is a pod of.

    Args:
        context: Name of the context; by default the current one.
        namespace: Namespace; by default that of the context, else ``default``; of a pod its own.

    Raises:
        ClusterError: If there is no kubeconfig, or no such context.
    """
    settings = Configuration()
    try:
        config.load_kube_config(context=context, client_configuration=settings)
        contexts, current = config.list_kube_config_contexts()
    except config.ConfigException as error:
        with contextlib.suppress(ClusterError):
            return inside(namespace)
        place = os.environ.get("KUBECONFIG", "~/.kube/config")
        raise ClusterError(f"No cluster to submit to ({place}: {error}). Set KUBECONFIG or --context.") from None
    chosen = next((each for each in contexts if each["name"] == context), current)
    settings.retries = urllib3.Retry(total=2, backoff_factor=0.2)
    return Kube(chosen["name"], namespace or chosen["context"].get("namespace") or "default", ApiClient(settings))


def inside(namespace: str | None = None, *, remedies: Mapping[int, str] = MappingProxyType({})) -> Kube:
    """Return the cluster that this process is a pod of.

    Args:
        namespace: Namespace; by default that of the pod.
        remedies: As :class:`Kube` has them.

    Raises:
        ClusterError: If it is in no pod, or has no token.
    """
    settings = Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)
        namespace = namespace or (ACCOUNT / "namespace").read_text().strip()
    except (config.ConfigException, OSError) as error:
        raise ClusterError(f"This process is in no pod of Kubernetes that has a service account: {error}.") from None
    settings.retries = urllib3.Retry(total=3, backoff_factor=0.5)
    return Kube("in this pod", namespace, ApiClient(settings), remedies)


def _reason(error: ApiException) -> str:
    """Say what the API server says, in one line, else the name of the status."""
    said = error.reason
    with contextlib.suppress(TypeError, ValueError, KeyError):
        said = json.loads(error.body)["message"]
    return " ".join(str(said).split())


def _innermost(error: BaseException) -> str:
    """Say the cause, not the layers of the client around it."""
    reason = getattr(error, "reason", None)
    return _innermost(reason) if isinstance(reason, BaseException) else str(error).rpartition(": ")[2] or repr(error)
