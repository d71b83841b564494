"""What the compiled pipeline asks of the cluster for each pod."""

from dataclasses import replace

import pytest
import yaml

from fettle.errors import SpecError
from fettle.spec import load_spec
from pipelines.cluster.platform import Platform
from pipelines.cluster.submit import Data, compose
from pipelines.graph import write

PLATFORM = Platform(
    kfp="ml-pipeline:8888", image="registry.example/fettle/step:1", s3_endpoint="http://minio.ns.svc:9000",
    s3_region="eu-1", s3_secret="store", repository="s3://models", triton_pods="triton-pods:8000",
)  # fmt: skip
TRAIN = (
    "cluster.steps.train={cpu: 4, memory: 8Gi, memory_limit: 16Gi, gpu: 2, gpu_resource: nvidia.com/mig-1g.10gb, "
    "node_selector: {kind: gpu}, tolerations: [{key: nvidia.com/gpu, effect: NoSchedule}], shm: 4Gi, retries: 3, "
    "timeout_minutes: 90}"
)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    file = tmp_path_factory.mktemp("pods") / "pipeline.yaml"
    _, pipeline = compose(load_spec(overrides=[TRAIN]), PLATFORM, Data("s3://fettle/data/x/images", "sha256:1"))
    write(pipeline, file)
    return list(yaml.safe_load_all(file.read_text()))


def executor(compiled, name):
    pipeline, platform = compiled
    pods = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    return pipeline["deploymentSpec"]["executors"][f"exec-{name}"]["container"], pods[f"exec-{name}"]


def test_a_step_gets_what_the_spec_says(compiled):
    container, pod = executor(compiled, "train")
    assert container["image"] == "registry.example/fettle/step:1"
    resources = container["resources"]
    assert (resources["resourceCpuRequest"], resources["resourceMemoryRequest"]) == ("4000m", "8Gi")
    assert resources["resourceMemoryLimit"] == "16Gi"
    assert "resourceCpuLimit" not in resources
    assert resources["accelerator"]["resourceType"] == "nvidia.com/mig-1g.10gb"
    assert resources["accelerator"]["resourceCount"] == "2"
    assert pod["nodeSelector"] == {"labels": {"kind": "gpu"}}
    assert pod["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert pod["activeDeadlineSeconds"] == "5400"
    assert {"volumeName": "shm", "mountPath": "/dev/shm", "medium": "Memory", "sizeLimit": "4Gi"} in pod[
        "emptyDirMounts"
    ]
    assert compiled[0]["root"]["dag"]["tasks"]["train"]["retryPolicy"]["maxRetryCount"] == 3


def test_by_default_it_asks_for_little_and_has_no_limit(compiled):
    container, pod = executor(compiled, "benchmark")
    assert container["resources"] == {
        "cpuRequest": 0.25, "resourceCpuRequest": "250m", "memoryRequest": 0.536870912,
        "resourceMemoryRequest": "512Mi",
    }  # fmt: skip
    assert pod["securityContext"] == {"runAsNonRoot": True}
    assert {"volumeName": "tmp", "mountPath": "/tmp"} in pod["emptyDirMounts"]


def test_only_steps_that_open_the_store_have_its_keys(compiled):
    with_keys = {
        name
        for name, pod in compiled[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"].items()
        if "secretAsEnv" in pod
    }
    assert with_keys == {"exec-ingest", "exec-select-and-promote", "exec-confirm-and-report"}
    container, pod = executor(compiled, "ingest")
    assert {"name": "AWS_ENDPOINT_URL_S3", "value": "http://minio.ns.svc:9000"} in container["env"]
    assert pod["secretAsEnv"][0]["secretName"] == "store"


def test_steps_with_unfinished_work_keep_it_in_the_store(tmp_path):
    platform = replace(PLATFORM, data="s3://fettle/data")
    spec = load_spec(overrides=["tune.trials=4", "tune.workers=2", "recipes.slim=[prune, finetune]"])
    _, pipeline = compose(spec, platform, Data("s3://fettle/data/x/images", "sha256:1"))
    write(pipeline, tmp_path / "pipeline.yaml")
    compiled = list(yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text()))
    kept = {"name": "FETTLE_WORK", "value": "s3://fettle/data/work"}
    executors = compiled[0]["deploymentSpec"]["executors"]
    names = {name for name, each in executors.items() if kept in each["container"]["env"]}
    assert names == {"exec-tune-1", "exec-tune-2", "exec-gather", "exec-train", "exec-prune-and-finetune-slim"}
    for name in names:
        container, pod = executor(compiled, name.removeprefix("exec-"))
        assert pod["secretAsEnv"][0]["secretName"] == "store"
        assert {"name": "AWS_ENDPOINT_URL_S3", "value": "http://minio.ns.svc:9000"} in container["env"]


def test_workers_that_share_no_place_are_refused():
    with pytest.raises(SpecError, match=r"`data`.*the 2 workers of `tune` share no place: set tune.workers=1"):
        compose(load_spec(overrides=["tune.trials=4", "tune.workers=2"]), PLATFORM, Data("s3://x/y", "sha256:1"))


def test_the_spec_becomes_that_of_the_platform(compiled):
    tasks = compiled[0]["root"]["dag"]["tasks"]
    given = {name: value["runtimeValue"]["constant"] for name, value in tasks["ingest"]["inputs"]["parameters"].items()}
    assert (given["ingest_source"], given["ingest_content"]) == ("s3://fettle/data/x/images", "sha256:1")
    promote = tasks["select-and-promote"]["inputs"]["parameters"]["promote_serve"]["runtimeValue"]["constant"]
    assert '"repository": "s3://models"' in promote
    assert '"endpoint": "triton-pods:8000"' in promote


def test_what_is_of_the_moment_is_not_cached(compiled):
    tasks = compiled[0]["root"]["dag"]["tasks"]
    uncached = {name for name, task in tasks.items() if not task["cachingOptions"].get("enableCache")}
    assert uncached == {"confirm-and-report"}


def test_a_schedule_reads_the_images_anew(tmp_path):
    _, pipeline = compose(load_spec(), PLATFORM, Data("s3://x/y", "sha256:1"), look_again=True)
    write(pipeline, tmp_path / "pipeline.yaml")
    tasks = next(yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text()))["root"]["dag"]["tasks"]
    assert not tasks["ingest"]["cachingOptions"].get("enableCache")
    assert tasks["train"]["cachingOptions"]["enableCache"]


def test_nothing_is_looked_up_on_the_net(compiled):
    for executor_ in compiled[0]["deploymentSpec"]["executors"].values():
        assert {"name": "HF_HUB_OFFLINE", "value": "1"} in executor_["container"]["env"]
