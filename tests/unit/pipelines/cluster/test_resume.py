"""A promotion after a run: what the run did is taken over word for word, what a person approved is added."""

import json
from copy import deepcopy

import pytest

from fettle.errors import ArtifactError, SpecError
from fettle.spec import load_spec
from pipelines.cluster.platform import Platform
from pipelines.cluster.resume import compiled, data_of, resume
from pipelines.cluster.submit import Data, compose

PLATFORM = Platform(
    kfp="ml-pipeline:8888", image="fettle/step:1", repository="s3://models", triton_pods="triton-pods:8000"
)
DATA = Data("s3://fettle/data/x/images", "sha256:1")
SIGN_OFF = {"candidate": "baseline-openvino", "runtime": "openvino", "files": {"model.xml": "sha256:2"}, "by": "Ada",
            "reason": "it is better", "at": "2026-01-01T00:00:00+00:00"}  # fmt: skip
APPROVAL = {"digest": "sha256:3", "selection": "sha256:4", "sign_off": SIGN_OFF}


@pytest.fixture
def spec():
    return load_spec(overrides=["recipes.int8=[quantize]", "serve.approve=manual"])


@pytest.fixture
def done(spec):
    """The pipeline of a run, by an image of another version."""
    _, pipeline = compose(spec, Platform(kfp="ml-pipeline:8888", image="fettle/step:0"), DATA)
    return json.loads(json.dumps(compiled(pipeline)))


def tasks(spec):
    return spec["pipeline_spec"]["root"]["dag"]["tasks"]


def image(spec, name):
    return spec["pipeline_spec"]["deploymentSpec"]["executors"][f"exec-{name}"]["container"]["image"]


def pod(spec, name):
    return spec["platform_spec"]["platforms"]["kubernetes"]["deploymentSpec"]["executors"][f"exec-{name}"]


def test_it_knows_which_images_a_run_read(done):
    assert data_of(done) == DATA


def test_what_the_run_did_is_taken_over_and_the_promotion_is_new(spec, done):
    again, cached = resume(spec, PLATFORM, done, APPROVAL)
    assert set(tasks(again)) - cached == {"promote", "confirm-and-report"}
    assert cached == set(tasks(done)) - {"report"}
    for name in cached:
        assert tasks(again)[name] == tasks(done)[name]
        assert image(again, name) == "fettle/step:0"
        assert pod(again, name) == pod(done, name)
    assert image(again, "promote") == "fettle/step:1"
    assert tasks(again)["promote"].get("cachingOptions", {}) == {}, "a person says: now"
    given = tasks(again)["promote"]["inputs"]["parameters"]["promote_approval"]["runtimeValue"]["constant"]
    assert json.loads(given) == APPROVAL


def test_a_run_that_promoted_by_itself_selects_again(spec):
    auto = spec.model_copy(update={"serve": spec.serve.model_copy(update={"approve": "auto"})})
    _, pipeline = compose(auto, PLATFORM, DATA)
    again, cached = resume(auto, PLATFORM, compiled(pipeline), APPROVAL)
    assert set(tasks(again)) - cached == {"select", "promote", "confirm-and-report"}


def test_a_run_of_something_else_is_refused(spec, done):
    del tasks(done)["ingest"]["inputs"]["parameters"]["ingest_source"]
    with pytest.raises(ArtifactError, match="no 'ingest_source'"):
        resume(spec, PLATFORM, done, APPROVAL)


def test_another_spec_is_refused(done):
    other = load_spec(overrides=["recipes.pruned=[prune,finetune]"])
    with pytest.raises(ArtifactError, match=r"no task '.*pruned.*'"):
        resume(other, PLATFORM, done, APPROVAL)


def test_a_run_of_a_version_with_other_artifacts_is_refused(spec, done):
    other = deepcopy(done)
    artifacts = other["pipeline_spec"]["components"]["comp-train"]["outputDefinitions"]["artifacts"]
    artifacts["out"] = artifacts.pop("train_out")
    with pytest.raises(ArtifactError, match="no task 'train' such as this Fettle makes"):
        resume(spec, PLATFORM, other, APPROVAL)


def test_a_platform_without_a_repository_is_refused(spec, done):
    with pytest.raises(SpecError, match="no model repository"):
        resume(spec, Platform(kfp="ml-pipeline:8888", image="x"), done, APPROVAL)
