"""The Kubernetes API as a step's pod needs it, with errors that say what to do."""

import contextlib
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import config
from kubernetes.client import ApiClient, ApiException, Configuration, CoreV1Api, CustomObjectsApi, V1Pod

from components.trainjob.manifest import GROUP, NODE, OF_JOB, PLURAL, VERSION, Launcher
from fettle.errors import TrainError

TIMEOUT = (5, 30)  # seconds to connect and to answer
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
RUN = "pipeline/runid"  # label of the pods of a run
REMEDIES = {
    403: "the step's service account may not do it: install the chart with pipelines.trainJobs=true",
    404: "the cluster knows no such thing: install Kubeflow's Trainer (2.2 or newer), or set `nodes` to 1",
}


class ClusterError(TrainError):
    """The cluster has no TrainJobs, or refuses one."""


@dataclass(frozen=True)
class Cluster:
    """The TrainJobs of a namespace, and their pods.

    Attributes:
        namespace: Where they are.
        api: Client with the address and the credentials of the API server.
    """

    namespace: str
    api: ApiClient

    def create(self, job: Mapping[str, Any]) -> bool:
        """Create a TrainJob; return False if there is one of that name.

        Raises:
            ClusterError: If there are no TrainJobs here, it may not, or the TrainJob is refused.
        """
        try:
            with explained(f"TrainJob {job['metadata']['name']} cannot be made"):
                self._jobs.create_namespaced_custom_object(*self._place, job, _request_timeout=TIMEOUT)
        except _TakenError:
            return False
        return True

    def find(self, name: str) -> Mapping[str, Any] | None:
        """Return a TrainJob, ``None`` where there is none."""
        try:
            with explained(f"TrainJob {name} cannot be looked at", missing=True):
                found: Mapping[str, Any] = self._jobs.get_namespaced_custom_object(
                    *self._place, name, _request_timeout=TIMEOUT
                )
                return found
        except LookupError:
            return None

    def delete(self, name: str) -> None:
        """Delete a TrainJob and its pods; one that is gone is no error."""
        with contextlib.suppress(LookupError), explained(f"TrainJob {name} cannot be deleted", missing=True):
            self._jobs.delete_namespaced_custom_object(
                *self._place, name, propagation_policy="Background", _request_timeout=TIMEOUT
            )

    def pods(self, name: str) -> list[V1Pod]:
        """Return the pods of a TrainJob."""
        with explained(f"the pods of TrainJob {name} cannot be looked at"):
            found = self._core.list_namespaced_pod(
                self.namespace, label_selector=f"{OF_JOB}={name}", _request_timeout=TIMEOUT
            )
        return list(found.items)

    def log(self, pod: str) -> list[str]:
        """Return the lines that a pod's machine said; nothing where they are lost, or not there yet."""
        with contextlib.suppress(ApiException, urllib3.exceptions.HTTPError):
            answer = self._core.read_namespaced_pod_log(
                pod, self.namespace, container=NODE, _request_timeout=TIMEOUT,
                _preload_content=False,  # else the client takes a log that is JSON for an object
            )  # fmt: skip
            return str(answer.data.decode(errors="replace")).splitlines()
        return []

    def launcher(self) -> Launcher | None:
        """Return the pod that this process is in, ``None`` where it is in none."""
        name = socket.gethostname()
        try:
            with explained(f"pod {name} cannot be looked at", missing=True):
                pod = self._core.read_namespaced_pod(name, self.namespace, _request_timeout=TIMEOUT)
        except LookupError:
            return None
        run = (pod.metadata.labels or {}).get(RUN, "")
        return Launcher(name, pod.metadata.uid, pod.spec.service_account_name, run)

    @property
    def _place(self) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self.namespace, PLURAL

    @property
    def _jobs(self) -> CustomObjectsApi:
        return CustomObjectsApi(self.api)

    @property
    def _core(self) -> CoreV1Api:
        return CoreV1Api(self.api)


class _TakenError(Exception):
    pass


@contextlib.contextmanager
def explained(what: str, *, missing: bool = False) -> Iterator[None]:
    """Turn what the client raises into one sentence; ``missing``: what is not there is a LookupError."""
    try:
        yield
    except ApiException as error:
        if error.status == 404 and missing:
            raise LookupError from None
        if error.status == 409:
            raise _TakenError from None
        reason = REMEDIES.get(error.status) or f"{error.reason}: {' '.join(str(error.body).split())[:500]}"
        raise ClusterError(f"{what}: {reason}.") from None
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise ClusterError(f"{what}: the cluster cannot be reached ({error}).") from None


def here() -> Cluster:
    """Return the namespace that this process is a pod of.

    Raises:
        ClusterError: If it is in no pod, or has no token.
    """
    settings = Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)
    except config.ConfigException as error:
        raise ClusterError(f"A step on several nodes runs in a pod of Kubernetes, and this is none: {error}.") from None
    settings.retries = urllib3.Retry(total=3, backoff_factor=0.5)
    return Cluster((ACCOUNT / "namespace").read_text().strip(), ApiClient(settings))
