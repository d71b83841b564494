"""The TrainJob of a step on several machines, and what is read from a cluster about it."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from kubernetes.client import (
    V1ContainerState,
    V1ContainerStateWaiting,
    V1ContainerStatus,
    V1ObjectMeta,
    V1Pod,
    V1PodStatus,
)

from components.cluster.kube import ClusterError, Kube
from components.train import train
from components.trainjob import follow
from components.trainjob.follow import Follower, ended
from components.trainjob.jobs import REMEDIES, TrainJobs
from components.trainjob.manifest import Launcher, Machines, manifest
from components.trainjob.step import shared
from fettle.errors import ArtifactError, TrainError

MACHINES = Machines(
    nodes=2, processes=4, image="registry.example/fettle/step:1", jobs="s3://fettle/data/work/trainjobs",
    resources={
        "requests": {"cpu": "4000m", "memory": "8Gi"}, "limits": {"memory": "16Gi", "nvidia.com/gpu": "4"}
    },
    env={"AWS_ENDPOINT_URL_S3": "http://store:9000", "HF_HUB_OFFLINE": "1"}, secret="fettle-s3",
    node_selector={"kind": "gpu"}, tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}], shm="4Gi",
    seconds=5400,
)  # fmt: skip
JOB = {"metadata": {"name": "train-1"}}
COMMAND = ["python", "-m", "fettle.train.node", "s3://fettle/data/work/trainjobs/train-1"]


def test_the_spec_becomes_a_trainjob() -> None:
    job = manifest(MACHINES, name="train-1", command=COMMAND, launcher=Launcher("pod-1", "uid-1", "pipeline-runner"))
    assert (job["apiVersion"], job["kind"]) == ("trainer.kubeflow.org/v1alpha1", "TrainJob")
    assert job["metadata"]["ownerReferences"][0]["uid"] == "uid-1", "it goes with the pod that made it"
    spec = job["spec"]
    assert spec["runtimeRef"] == {
        "apiGroup": "trainer.kubeflow.org", "kind": "ClusterTrainingRuntime", "name": "torch-distributed"
    }  # fmt: skip
    assert spec["activeDeadlineSeconds"] == 5400
    trainer = spec["trainer"]
    assert (trainer["numNodes"], trainer["numProcPerNode"], trainer["command"]) == (2, 4, COMMAND)
    assert trainer["resourcesPerNode"]["limits"] == {"memory": "16Gi", "nvidia.com/gpu": "4"}
    assert {"name": "AWS_ENDPOINT_URL_S3", "value": "http://store:9000"} in trainer["env"]
    keys = [each["valueFrom"]["secretKeyRef"] for each in trainer["env"] if "valueFrom" in each]
    assert keys == [{"name": "fettle-s3", "key": key} for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    assert not {each["name"] for each in trainer["env"]} & {"PET_NNODES", "PET_MASTER_ADDR"}, "the Trainer sets them"


def test_it_conforms_to_the_definition_of_kubeflow(conform) -> None:
    job = manifest(MACHINES, name="train-1", command=COMMAND, launcher=Launcher("pod-1", "uid-1", "pipeline-runner"))
    assert conform([job]).returncode == 0, conform([job]).stdout
    job["spec"]["trainer"]["numNode"] = 2
    assert "numNode" in conform([job]).stdout


def test_its_pods_ask_for_no_more_than_restricted_grants() -> None:
    job = manifest(MACHINES, name="train-1", command=COMMAND, launcher=Launcher("pod-1", "uid-1", "pipeline-runner"))
    (patch,) = job["spec"]["runtimePatches"]
    (node,) = patch["trainingRuntimeSpec"]["template"]["spec"]["replicatedJobs"]
    pod = node["template"]["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "pipeline-runner"
    assert pod["securityContext"]["runAsNonRoot"]
    assert (pod["nodeSelector"], pod["tolerations"]) == ({"kind": "gpu"}, list(MACHINES.tolerations))
    (container,) = pod["containers"]
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert [each["mountPath"] for each in container["volumeMounts"]] == ["/tmp", "/dev/shm"]
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "4Gi"}} in pod["volumes"]


def test_what_is_not_asked_for_is_not_there() -> None:
    plain = Machines(
        nodes=2, processes=1, image="i", jobs="s3://x/y", resources={"requests": {"cpu": "1"}, "limits": {}}
    )
    spec = manifest(plain, name="train-1", command=COMMAND)["spec"]
    assert "activeDeadlineSeconds" not in spec
    assert spec["trainer"]["resourcesPerNode"] == {"requests": {"cpu": "1"}}
    assert spec["trainer"]["env"] == []


def test_it_travels_as_text() -> None:
    assert Machines.from_text(MACHINES.to_text()) == MACHINES


def test_machines_find_an_artifact_in_the_store_only() -> None:
    assert shared("minio://fettle/a/b/out") == "s3://fettle/a/b/out"
    with pytest.raises(ArtifactError, match="gs://fettle/a is in no S3 store"):
        shared("gs://fettle/a")


def test_a_trainjob_has_ended_by_its_conditions() -> None:
    def job(*conditions: tuple[str, str]) -> dict[str, object]:
        states = [{"type": each, "status": status, "reason": "R", "message": "why"} for each, status in conditions]
        return {"status": {"conditions": states}}

    assert ended({}) is None
    assert ended(job(("Suspended", "False"), ("Failed", "False"))) is None
    assert ended(job(("Suspended", "False"), ("Failed", "True"))) == "R: why"
    assert ended(job(("Complete", "True"))) == "R: why"


@pytest.fixture
def jobs(server) -> TrainJobs:
    return TrainJobs(Kube("in this pod", "n", server.client, REMEDIES))


def test_a_trainjob_that_is_refused_names_itself_and_the_remedy(server, jobs: TrainJobs) -> None:
    server.say(403, "trainjobs is forbidden")
    with pytest.raises(
        ClusterError, match=r"TrainJob train-1 cannot be made \(trainjobs is forbidden\): install the chart with"
    ):
        jobs.create(JOB)
    server.say(422, "metadata.name is wrong")
    with pytest.raises(ClusterError, match=r"^TrainJob train-1 cannot be made: metadata.name is wrong\.$"):
        jobs.create(JOB)
    server.status, server.body = 404, b"404 page not found\n"
    with pytest.raises(ClusterError, match=r"cannot be made \(Not Found\): install Kubeflow's Trainer"):
        jobs.create(JOB)


def test_a_trainjob_that_is_there_or_gone_is_no_error(server, jobs: TrainJobs) -> None:
    server.say(409, "already exists")
    assert not jobs.create(JOB)
    server.say(404, "not found")
    assert jobs.find("train-1") is None
    jobs.delete("train-1")
    server.status = 201
    assert jobs.create(JOB)


def waiting_pod(reason: str) -> V1Pod:
    state = V1ContainerState(waiting=V1ContainerStateWaiting(reason=reason, message="not found"))
    containers = [V1ContainerStatus(name="node", image="i", image_id="", ready=False, restart_count=0, state=state)]
    return V1Pod(metadata=V1ObjectMeta(name="p"), status=V1PodStatus(phase="Pending", container_statuses=containers))


def test_a_machine_that_can_never_start_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "PATIENCE", 0)
    jobs = SimpleNamespace(find=lambda name: {}, pods=lambda name: [waiting_pod("ErrImagePull")])
    with pytest.raises(TrainError, match=r"train-1 cannot start. p: its image i cannot be pulled \(ErrImagePull: not"):
        Follower(jobs, "train-1", lambda: False, io.StringIO()).follow()


def test_one_that_may_start_yet_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "PATIENCE", 0)
    monkeypatch.setattr(follow, "POLL", 0)
    jobs, log = (
        SimpleNamespace(find=lambda name: {}, pods=lambda name: [waiting_pod("CrashLoopBackOff")]),
        io.StringIO(),
    )
    made = iter([False, False, True])
    Follower(jobs, "train-1", lambda: next(made), log).follow()
    assert log.getvalue().splitlines() == ["· p: its container does not start (CrashLoopBackOff: not found)"]


def test_without_machines_a_step_runs_here(castings_dataset: Path, tmp_path: Path) -> None:
    logged: dict[str, float] = {}
    out = SimpleNamespace(path=str(tmp_path / "model"), metadata={})
    metrics = SimpleNamespace(path=str(tmp_path / "metrics"), log_metric=logged.__setitem__)
    train(
        SimpleNamespace(path=str(castings_dataset), uri="/local"), out, metrics,
        model=json.dumps({"family": "test_resnet", "image_size": 32}),
        train=json.dumps({"preset": "plain", "epochs": 1, "batch_size": 8, "precision": "float32", "workers": 0}),
    )  # fmt: skip
    assert out.metadata["kind"] == "model"
    assert logged["epoch"] == 1
