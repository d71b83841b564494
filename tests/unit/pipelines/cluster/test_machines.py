"""Where several processes train: what the compiled pipeline says, and what is refused before anything starts."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.trainjob.manifest import Machines
from fettle.errors import SpecError
from fettle.spec import load_spec
from pipelines.cluster.machines import check_spec
from pipelines.cluster.platform import Platform
from pipelines.cluster.submit import Data, compose
from pipelines.graph import write

PLATFORM = Platform(
    kfp="ml-pipeline:8888", image="registry.example/fettle/step:1", s3_endpoint="http://minio.ns.svc:9000",
    s3_secret="store", data="s3://fettle/data", repository="s3://models", triton_pods="triton-pods:8000",
)  # fmt: skip
DATA = Data("s3://fettle/data/x/images", "sha256:1")
FINETUNED = "recipes={pruned: [{prune: {ratio: 0.3}}, {finetune: {epochs: 1}}]}"


def compiled(tmp_path: Path, *overrides: str, platform: Platform = PLATFORM) -> tuple[dict[str, Any], dict[str, Any]]:
    _, pipeline = compose(load_spec(overrides=list(overrides)), platform, DATA)
    write(pipeline, tmp_path / "pipeline.yaml")
    pipeline_, platform_ = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text())
    containers = {
        name.removeprefix("exec-"): executor["container"]
        for name, executor in pipeline_["deploymentSpec"]["executors"].items()
    }
    return containers, platform_["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def variables(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"]}


def test_each_device_of_a_pod_gets_a_process(tmp_path: Path) -> None:
    containers, _ = compiled(tmp_path, "cluster.steps.train={gpu: 4}", FINETUNED)
    assert variables(containers["train"])["FETTLE_PROCESSES"] == "4"
    assert [name for name, each in containers.items() if "FETTLE_PROCESSES" in variables(each)] == ["train"]
    assert containers["train"]["resources"]["accelerator"]["resourceCount"] == "4"


def test_several_nodes_are_a_trainjob_and_a_small_pod_that_follows_it(tmp_path: Path) -> None:
    pod = "{nodes: 2, gpu: 4, cpu: 8, memory: 16Gi, shm: 4Gi, retries: 3, timeout_minutes: 90, node_selector: {a: b}}"
    containers, pods = compiled(tmp_path, f"cluster.steps.train={pod}", "cluster.training_runtime=ours", FINETUNED)
    asked = Machines.from_text(variables(containers["train"])["FETTLE_TRAINJOB"])
    assert (asked.nodes, asked.processes, asked.runtime, asked.seconds) == (2, 4, "ours", 5400)
    assert asked.jobs == "s3://fettle/data/work/trainjobs"
    assert asked.resources == {
        "requests": {"cpu": "8000m", "memory": "16Gi"}, "limits": {"nvidia.com/gpu": "4"}
    }  # fmt: skip
    assert (asked.secret, asked.env["AWS_ENDPOINT_URL_S3"]) == ("store", "http://minio.ns.svc:9000")
    assert asked.node_selector == {"a": "b"}
    resources = containers["train"]["resources"]
    assert "accelerator" not in resources
    assert resources["resourceCpuRequest"] == "250m"
    assert "nodeSelector" not in pods["exec-train"]
    assert pods["exec-train"]["activeDeadlineSeconds"] == "5400"
    assert pods["exec-train"]["secretAsEnv"][0]["secretName"] == "store"
    assert [name for name, each in containers.items() if "FETTLE_TRAINJOB" in variables(each)] == ["train"]


def test_a_finetuning_on_several_nodes_does_not_share_the_pod_of_its_pruning(tmp_path: Path) -> None:
    containers, _ = compiled(tmp_path, "cluster.steps.finetune={nodes: 2}", "train.trainer.devices=3", FINETUNED)
    asked = Machines.from_text(variables(containers["finetune-pruned"])["FETTLE_TRAINJOB"])
    assert (asked.nodes, asked.processes) == (2, 3)
    assert "prune-pruned" in containers


def test_only_steps_that_train_run_on_several_nodes() -> None:
    with pytest.raises(SpecError, match=r"steps.export.nodes must be 1: only train and finetune run on several nodes"):
        load_spec(overrides=["cluster.steps.export={nodes: 2}"])
    with pytest.raises(SpecError, match=r"defaults.nodes must be 1"):
        load_spec(overrides=["cluster.defaults={nodes: 2}"])


def test_machines_need_a_store(tmp_path: Path) -> None:
    platform = Platform(kfp="k:1", image="i", repository="s3://models")
    with pytest.raises(SpecError, match=r"The platform says not where data go.*steps on several nodes need a store"):
        compiled(tmp_path, "cluster.steps.train={nodes: 2}", platform=platform)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["cluster.steps.train={gpu: 5}"], r"`train.batch_size` is \d+, which 5 processes share"),
        (
            ["task=detect", "model.family=yolov8", "model.image_size=320", "cluster.steps.train={nodes: 2}"],
            r"yolov8 trains in one process, on one device, not in 2",
        ),
    ],
)
def test_what_cannot_be_shared_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        check_spec(load_spec(overrides=overrides))


def test_what_one_process_trains_is_not_checked() -> None:
    check_spec(load_spec())
