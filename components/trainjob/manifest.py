"""The TrainJob of a step (``trainer.kubeflow.org/v1alpha1``, Trainer 2.2 or newer)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from fettle.storage import KEYS

GROUP, VERSION, PLURAL = "trainer.kubeflow.org", "v1alpha1", "trainjobs"
MANAGER = "fettle.dev/step"  # owner of the patches of the runtime
NODE = "node"  # what the runtimes call the job, and its container, that trains
OF_JOB = "jobset.sigs.k8s.io/jobset-name"  # label of a TrainJob's pods


@dataclass(frozen=True)
class Machines:
    """What a step asks for on several machines; the spec and the platform say it, before it runs.

    Attributes:
        nodes: How many.
        processes: On each.
        image: Of the step.
        jobs: ``s3://bucket/prefix`` for what the machines share.
        resources: ``requests`` and ``limits`` of each.
        runtime: Name of the ClusterTrainingRuntime.
        env: Variables; the store's address is among them.
        secret: With the keys of the store; empty where the service account has the rights.
        node_selector: Labels of the nodes.
        tolerations: Taints of the nodes, as Kubernetes writes them.
        shm: Largest size of ``/dev/shm``.
        seconds: How long it may take, if limited.
    """

    nodes: int
    processes: int
    image: str
    jobs: str
    resources: Mapping[str, Mapping[str, str]]
    runtime: str = "torch-distributed"
    env: Mapping[str, str] = field(default_factory=dict)
    secret: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, str]] = ()
    shm: str = "1Gi"
    seconds: int | None = None

    def to_text(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Self:
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Launcher:
    """The pod that makes the TrainJob: with it, the TrainJob goes.

    Attributes:
        name: Of the pod.
        uid: Of the pod.
        account: Its service account, which is that of the machines too.
        run: The pipeline's run that it is of.
    """

    name: str
    uid: str
    account: str
    run: str = ""


def manifest(
    machines: Machines, *, name: str, command: Sequence[str], launcher: Launcher | None = None
) -> dict[str, Any]:
    """Return the TrainJob.

    Args:
        machines: What it asks for.
        name: Its name: a DNS label; the pods' names are longer by some 15 characters.
        command: What each machine runs; the Trainer tells it its place by torchrun's variables ``PET_*``.
        launcher: Who makes it.
    """
    metadata: dict[str, Any] = {"name": name, "labels": {"app.kubernetes.io/managed-by": "fettle"}}
    if launcher:
        metadata["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "Pod", "name": launcher.name, "uid": launcher.uid, "controller": False}
        ]
    trainer = {
        "image": machines.image,
        "command": list(command),
        "numNodes": machines.nodes,
        "numProcPerNode": machines.processes,
        "resourcesPerNode": {kind: dict(amounts) for kind, amounts in machines.resources.items() if amounts},
        "env": _environment(machines),
    }
    spec: dict[str, Any] = {
        "runtimeRef": {"apiGroup": GROUP, "kind": "ClusterTrainingRuntime", "name": machines.runtime},
        "trainer": trainer,
        "runtimePatches": [{"manager": MANAGER, "trainingRuntimeSpec": _patch(_pod(machines, launcher))}],
    }
    if machines.seconds:
        spec["activeDeadlineSeconds"] = machines.seconds
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "TrainJob", "metadata": metadata, "spec": spec}


def _environment(machines: Machines) -> list[dict[str, Any]]:
    plain = [{"name": name, "value": value} for name, value in sorted(machines.env.items())]
    if not machines.secret:
        return plain
    return plain + [{"name": key, "valueFrom": {"secretKeyRef": {"name": machines.secret, "key": key}}} for key in KEYS]


def _pod(machines: Machines, launcher: Launcher | None) -> dict[str, Any]:
    """Return what a pod has that the runtime knows nothing of; it asks for no more than *restricted* grants."""
    pod: dict[str, Any] = {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": machines.shm}},
        ],
        "containers": [
            {
                "name": NODE,
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "shm", "mountPath": "/dev/shm"}],
            }
        ],
    }
    if launcher:
        pod["serviceAccountName"] = launcher.account
    if machines.node_selector:
        pod["nodeSelector"] = dict(machines.node_selector)
    if machines.tolerations:
        pod["tolerations"] = [dict(each) for each in machines.tolerations]
    return pod


def _patch(pod: Mapping[str, Any]) -> dict[str, Any]:
    job = {"name": NODE, "template": {"spec": {"template": {"spec": pod}}}}
    return {"template": {"spec": {"replicatedJobs": [job]}}}
