"""The TrainJobs of a namespace, and their pods."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes.client import CustomObjectsApi, V1Pod

from components.cluster.kube import TIMEOUT, Kube, inside, tolerated
from components.trainjob.manifest import GROUP, NODE, OF_JOB, PLURAL, VERSION, Launcher

RUN = "pipeline/runid"  # label of the pods of a run
REMEDIES = {  # of who installed the cluster
    403: "install the chart with pipelines.trainJobs=true",
    404: "install Kubeflow's Trainer (2.2 or newer), or set `nodes` to 1",
}


@dataclass(frozen=True)
class TrainJobs:
    """The TrainJobs of a namespace.

    Attributes:
        kube: Where they are.
    """

    kube: Kube

    def create(self, job: Mapping[str, Any]) -> bool:
        """Create a TrainJob; return False if there is one of that name.

        Raises:
            ClusterError: If there are no TrainJobs here, it may not, or the TrainJob is refused.
        """
        with self.kube.explained(f"TrainJob {job['metadata']['name']} cannot be made"), tolerated(409):
            self._api.create_namespaced_custom_object(*self._place, job, _request_timeout=TIMEOUT)
            return True
        return False

    def find(self, name: str) -> Mapping[str, Any] | None:
        """Return a TrainJob, ``None`` where there is none."""
        with self.kube.explained(f"TrainJob {name} cannot be looked at"), tolerated(404):
            found: Mapping[str, Any] = self._api.get_namespaced_custom_object(
                *self._place, name, _request_timeout=TIMEOUT
            )
            return found
        return None

    def delete(self, name: str) -> None:
        """Delete a TrainJob and its pods; one that is gone is no error."""
        with self.kube.explained(f"TrainJob {name} cannot be deleted"), tolerated(404):
            self._api.delete_namespaced_custom_object(
                *self._place, name, propagation_policy="Background", _request_timeout=TIMEOUT
            )

    def pods(self, name: str) -> list[V1Pod]:
        """Return the pods of a TrainJob."""
        return self.kube.pods(f"{OF_JOB}={name}")

    def log(self, pod: str, *, lines: int | None = None) -> list[str]:
        """Return what a pod's machine said, all or the last lines; nothing where it is lost, or not there yet."""
        return self.kube.log(pod, container=NODE, lines=lines)

    def launcher(self) -> Launcher | None:
        """Return the pod that this process is in, ``None`` where it is in none."""
        pod = self.kube.pod(socket.gethostname())
        if pod is None:
            return None
        run = (pod.metadata.labels or {}).get(RUN, "")
        return Launcher(pod.metadata.name, pod.metadata.uid, pod.spec.service_account_name, run)

    @property
    def _place(self) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self.kube.namespace, PLURAL

    @property
    def _api(self) -> CustomObjectsApi:
        return CustomObjectsApi(self.kube.api)


def here() -> TrainJobs:
    """Return those of the namespace that this process is a pod of.

    Raises:
        ClusterError: If it is in no pod, or has no token.
    """
    return TrainJobs(inside(remedies=REMEDIES))
