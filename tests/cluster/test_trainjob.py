"""Steps on several machines: TrainJobs as the cluster's API takes them, followed to their end, and a whole run.

Needs Kubeflow's Trainer, or at least its resource definitions; skipped with the reason where they are not there.
"""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from kubernetes.client import ApiException, CustomObjectsApi

from components.cluster.kube import ClusterError, Kube
from components.trainjob.follow import Follower
from components.trainjob.jobs import TrainJobs
from components.trainjob.manifest import GROUP, OF_JOB, PLURAL, VERSION, Launcher, Machines, manifest
from components.trainjob.step import Elsewhere
from fettle import steps
from fettle.card import Artifact, read_card
from fettle.errors import TrainError
from fettle.spec import DatasetConfig, load_spec
from fettle.steps.ingest import ingest
from fettle.storage import open_store
from pipelines.cluster.machines import check_cluster
from pipelines.cluster.store import store_environment

from .stack import TINY, Installation, eventually, fettle

ELSEWHERE = (
    "kueue.x-k8s.io/multikueue"  # a manager that is not the Trainer: its controller leaves such a TrainJob alone
)


@pytest.fixture(scope="module")
def jobs(kube: Kube) -> TrainJobs:
    try:
        CustomObjectsApi(kube.api).get_api_resources(GROUP, VERSION)
    except ApiException as error:
        pytest.skip(
            f"the cluster has no {PLURAL}.{GROUP} (HTTP {error.status}): install Kubeflow's Trainer 2.2 or newer"
        )
    return TrainJobs(kube)


def rendered(name: str, *, image: str = "registry.example/step:1", **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "nodes": 2, "processes": 4, "jobs": "s3://fettle/jobs", "secret": "fettle-s3", "seconds": 600, "shm": "2Gi",
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"nvidia.com/gpu": "4"}},
        "env": {"AWS_REGION": "eu-1"}, "node_selector": {"kind": "gpu"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    }  # fmt: skip
    launcher = Launcher("pod-1", str(uuid.uuid4()), "pipeline-runner")
    return manifest(Machines(image=image, **{**given, **changes}), name=name, command=["true"], launcher=launcher)


def test_the_real_definition_takes_what_is_rendered(jobs: TrainJobs) -> None:
    """Strictly: a field that it does not know is an error."""
    api = CustomObjectsApi(jobs.kube.api)
    job = rendered("train-dry")
    made = api.create_namespaced_custom_object(
        GROUP, VERSION, jobs.kube.namespace, PLURAL, job, dry_run="All", field_validation="Strict"
    )
    assert made["spec"]["trainer"] == job["spec"]["trainer"]
    assert made["spec"]["runtimePatches"] == job["spec"]["runtimePatches"]


def test_a_trainjob_that_it_refuses_is_one_sentence(jobs: TrainJobs) -> None:
    with pytest.raises(ClusterError, match=r"TrainJob Train_1 cannot be made: .*metadata.name"):
        jobs.create(rendered("Train_1"))


@pytest.fixture
def started(jobs: TrainJobs, installation: Installation) -> Iterator[str]:
    """A TrainJob of nobody, and a pod as the Trainer makes it, whose machine says something and fails."""
    name = f"train-{uuid.uuid4().hex[:8]}"
    job = rendered(name)
    job["spec"]["managedBy"] = ELSEWHERE
    del job["metadata"]["ownerReferences"]  # a pod that is not there: the garbage collector would take the TrainJob
    container = {
        "name": "node",
        "image": installation.platform.image,
        "command": ["sh", "-c", "echo '· epoch 1/2'; sleep 2; echo gone; exit 3"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "metadata": {
            "name": f"{name}-node-0-0",
            "labels": {OF_JOB: name, "batch.kubernetes.io/job-completion-index": "0"},
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        },
    }
    assert jobs.create(job)
    installation.core.create_namespaced_pod(jobs.kube.namespace, pod)
    yield name
    jobs.delete(name)
    installation.core.delete_namespaced_pod(pod["metadata"]["name"], jobs.kube.namespace, grace_period_seconds=0)


def conclude(jobs: TrainJobs, name: str, kind: str) -> None:
    """Say what the Trainer says at the end."""
    condition = {
        "type": kind, "status": "True", "reason": "JobsFailed", "message": "jobset failed",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    CustomObjectsApi(jobs.kube.api).patch_namespaced_custom_object_status(
        GROUP, VERSION, jobs.kube.namespace, PLURAL, name, {"status": {"conditions": [condition]}}
    )


def test_a_failure_is_said_with_the_machines_words(jobs: TrainJobs, started: str) -> None:
    eventually(lambda: all(pod.status.phase == "Failed" for pod in jobs.pods(started)), "the machine's end")
    conclude(jobs, started, "Failed")
    log = io.StringIO()
    with pytest.raises(TrainError, match=rf"{started} ended without a model \(JobsFailed: .*exit code 3"):
        Follower(jobs, started, lambda: False, log).follow()
    assert log.getvalue().splitlines() == ["· epoch 1/2", "gone"]


def test_what_was_made_ends_it_whatever_the_trainjob_says(jobs: TrainJobs, started: str) -> None:
    Follower(jobs, started, lambda: True, io.StringIO()).follow()


def test_a_trainjob_of_that_name_is_no_error(jobs: TrainJobs, started: str) -> None:
    assert not jobs.create(rendered(started))


def test_one_that_somebody_deleted_is_said(jobs: TrainJobs, started: str) -> None:
    jobs.delete(started)
    jobs.delete(started)
    with pytest.raises(TrainError, match="was deleted by somebody"):
        Follower(jobs, started, lambda: False, io.StringIO()).follow()


@pytest.fixture
def no_trainer(jobs: TrainJobs) -> None:
    runtimes = CustomObjectsApi(jobs.kube.api).list_cluster_custom_object(GROUP, VERSION, "clustertrainingruntimes")
    if runtimes["items"]:
        pytest.skip("the cluster has a Trainer that starts the machines itself")


@pytest.fixture
def at_home(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The folder of unfinished work in the store, which is reached from here."""
    with store_environment(installation.kube, installation.platform) as environ:
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        yield f"{installation.platform.work}/test-{uuid.uuid4().hex[:8]}"


def those_of(jobs: TrainJobs) -> list[Any]:
    api, namespace = CustomObjectsApi(jobs.kube.api), jobs.kube.namespace
    return list(api.list_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL)["items"])


def when_made(jobs: TrainJobs, act: Callable[[Any], object]) -> Thread:
    """Act on the TrainJob of the test, once it is there."""

    def wait() -> None:
        found: list[Any] = []
        while not found:
            time.sleep(0.2)
            found = those_of(jobs)
        act(found[0])

    thread = Thread(target=wait, daemon=True)
    thread.start()
    return thread


def play_trainer(job: Any) -> None:
    """Start each machine as a process, with what Kubeflow's Trainer tells it."""
    trainer = job["spec"]["trainer"]
    place = {
        "PET_NNODES": str(trainer["numNodes"]), "PET_NPROC_PER_NODE": str(trainer["numProcPerNode"]),
        "PET_MASTER_ADDR": "127.0.0.1", "PET_MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, *trainer["command"][1:]]
    machines = [
        subprocess.Popen(command, env={**os.environ, **place, "PET_NODE_RANK": str(rank)})
        for rank in range(trainer["numNodes"])
    ]
    for machine in machines:
        machine.wait(timeout=500)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def train_elsewhere(jobs: TrainJobs, home: str, folder: Path) -> None:
    """Run the step ``train`` on two machines, as its component does."""
    config = DatasetConfig(layout="castings", path=str(folder / "source"), count=60)
    data = ingest(folder / "source", folder / "dataset", dataset=config, image_size=32)
    open_store(home).upload(data.path, "dataset")
    asked = Machines(nodes=2, processes=1, image="any", jobs=f"{home}/trainjobs", resources={})
    steps.run(
        "train", str(folder / "model"),
        elsewhere=Elsewhere(asked.to_text(), {"dataset": f"{home}/dataset"}, jobs), dataset=str(data.path),
        model=json.dumps({"family": "test_resnet", "image_size": 32}),
        train=json.dumps({"preset": "plain", "epochs": 1, "batch_size": 8, "precision": "float32", "workers": 0}),
    )  # fmt: skip


def leave_nothing(jobs: TrainJobs, home: str) -> bool:
    return not those_of(jobs) and all(key.startswith("dataset/") for key in open_store(home).list())


def test_a_step_takes_what_its_machines_made(no_trainer: None, jobs: TrainJobs, at_home: str, tmp_path: Path) -> None:
    trainer = when_made(jobs, play_trainer)
    train_elsewhere(jobs, at_home, tmp_path)
    trainer.join(timeout=60)
    made = Artifact.open(tmp_path / "model", kind="model")
    assert made.card.parents["dataset"]["digest"] == read_card(tmp_path / "dataset").digest
    assert made.card.seconds > 0
    assert leave_nothing(jobs, at_home)
    open_store(at_home).delete("dataset")


def test_a_step_that_is_told_to_end_takes_its_trainjob_along(
    no_trainer: None, jobs: TrainJobs, at_home: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    when_made(jobs, lambda job: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit):
        train_elsewhere(jobs, at_home, tmp_path)
    assert "The step was told to end" in capsys.readouterr().err
    eventually(lambda: leave_nothing(jobs, at_home), "the end of the TrainJob")
    open_store(at_home).delete("dataset")


def test_a_runtime_that_is_not_there_is_refused_before_anything_starts(jobs: TrainJobs, kube: Kube) -> None:
    spec = load_spec(overrides=["cluster.steps.train={nodes: 2}", "cluster.training_runtime=nowhere"])
    with pytest.raises(
        ClusterError, match=r"`cluster.steps.train.nodes` is 2, but .* no ClusterTrainingRuntime 'nowhere'"
    ):
        check_cluster(spec, kube)


def test_a_cluster_without_trainer_is_refused_before_anything_starts(kube: Kube) -> None:
    try:
        CustomObjectsApi(kube.api).get_api_resources(GROUP, VERSION)
    except ApiException:
        with pytest.raises(ClusterError, match=r"no trainjobs.trainer.kubeflow.org: install Kubeflow's Trainer"):
            check_cluster(load_spec(overrides=["cluster.steps.train={nodes: 2}"]), kube)
    else:
        check_cluster(load_spec(), kube)


def test_a_network_is_trained_on_two_machines(jobs: TrainJobs, installation: Installation, tmp_path: Path) -> None:
    try:
        check_cluster(load_spec(overrides=["cluster.steps.train={nodes: 2}"]), installation.kube)
    except ClusterError as error:
        pytest.skip(str(error))
    cluster = "cluster: {steps: {train: {nodes: 2, cpu: 0.1, memory: 256Mi}}}\n"
    (tmp_path / "fettle.yaml").write_text(f"{TINY}{cluster}serve: {{approve: manual}}\n")
    done = fettle("submit", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = read_card(Path(json.loads(done.stdout)["report"]).parent)
    assert any(parent["kind"] == "model" for parent in report.parents.values())
    assert not those_of(jobs)
