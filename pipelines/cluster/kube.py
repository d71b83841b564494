"""The Kubernetes API of the current context, with errors that say what to do."""

import base64
import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes import config
from kubernetes.client import ApiClient, ApiException, Configuration, CoreV1Api, CustomObjectsApi, V1Pod, V1Service

from fettle.errors import FettleError

TIMEOUT = (5, 30)  # seconds to connect and to answer


class ClusterError(FettleError):
    """The cluster cannot be reached, refuses, or lacks a part."""


@dataclass(frozen=True)
class Kube:
    """One namespace of one cluster.

    Attributes:
        context: Name of the context in the kubeconfig.
        namespace: Where everything happens.
        api: Client with the address and the credentials of the API server.
    """

    context: str
    namespace: str
    api: ApiClient

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

    def log(self, pod: str, *, lines: int, timestamps: bool = False) -> list[str]:
        """Return the last lines that a pod's main container said; nothing where they are lost.

        Args:
            pod: Its name.
            lines: How many at most.
            timestamps: Put the time before each line.
        """
        with contextlib.suppress(ApiException, urllib3.exceptions.HTTPError):
            answer = self._core.read_namespaced_pod_log(
                pod, self.namespace, container="main", tail_lines=lines, timestamps=timestamps,
                _request_timeout=TIMEOUT,
                _preload_content=False,  # else the client takes a log that is JSON for an object
            )  # fmt: skip
            return str(answer.data.decode(errors="replace")).splitlines()
        return []

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Turn what the client raises into one sentence."""
        try:
            yield
        except ApiException as error:
            raise ClusterError(_explain(error.status, error.reason, error.body, self.context)) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise ClusterError(
                f"The cluster of context {self.context!r} cannot be reached at {self.api.configuration.host} "
                f"({_innermost(error)}): start it, or choose another context."
            ) from None

    @property
    def _core(self) -> CoreV1Api:
        return CoreV1Api(self.api)

    def _get(self, read: Any, name: str, namespace: str = "") -> Any:
        with self.explained():
            try:
                return read(name, namespace or self.namespace, _request_timeout=TIMEOUT)
            except ApiException as error:
                if error.status == 404:
                    return None
                raise


def connect(*, context: str | None = None, namespace: str | None = None) -> Kube:
    """Return the cluster of a context of the kubeconfig, or the one that this process is a pod of.

    Args:
        context: Name of the context; by default the current one.
        namespace: Namespace; by default that of the context, else ``default``.

    Raises:
        ClusterError: If there is no kubeconfig, or no such context.
    """
    settings = Configuration()
    try:
        config.load_kube_config(context=context, client_configuration=settings)
        contexts, current = config.list_kube_config_contexts()
    except config.ConfigException as error:
        return _inside(namespace, error)
    chosen = next((each for each in contexts if each["name"] == context), current)
    settings.retries = urllib3.Retry(total=2, backoff_factor=0.2)
    return Kube(chosen["name"], namespace or chosen["context"].get("namespace") or "default", ApiClient(settings))


def _inside(namespace: str | None, error: Exception) -> Kube:
    settings = Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)
    except config.ConfigException:
        place = os.environ.get("KUBECONFIG", "~/.kube/config")
        raise ClusterError(f"No cluster to submit to ({place}: {error}). Set KUBECONFIG or --context.") from None
    return Kube("in this pod", namespace or "default", ApiClient(settings))


def _explain(status: int, reason: str, body: Any, context: str) -> str:
    with contextlib.suppress(TypeError, ValueError, AttributeError):
        reason = json.loads(body)["message"]
    if status == 401:
        return f"The cluster of context {context!r} does not know who you are ({reason}): log in to it again."
    if status == 403:
        return f"The cluster of context {context!r} does not allow it: {reason}."
    return f"The cluster of context {context!r} refused (HTTP {status}): {reason}."


def _innermost(error: BaseException) -> str:
    """Say the cause, not the layers of the client around it."""
    reason = getattr(error, "reason", None)
    return _innermost(reason) if isinstance(reason, BaseException) else str(error).rpartition(": ")[2] or repr(error)
