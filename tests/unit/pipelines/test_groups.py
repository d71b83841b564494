"""Tasks that share a pod: which, and that nothing but the pods changes."""

import pytest
import yaml

from fettle.spec import load_spec
from pipelines.cluster.pods import sharer
from pipelines.graph import build, write
from pipelines.groups import group
from pipelines.plan import plan

RECIPES = ["recipes.int8=[quantize]", "recipes.pruned-int8=[prune,finetune,quantize]"]


def grouped(*overrides):
    spec = load_spec(overrides=[*RECIPES, *overrides])
    graph = plan(spec)
    return graph, group(graph, sharer(spec.cluster))


def test_what_comes_to_nothing_alone_shares_a_pod():
    graph, groups = grouped()
    names = [each.name for each in groups]
    assert len(graph.tasks) == 21
    assert set(names) == {
        "ingest", "train", "export-and-validate-baseline", "prune-and-finetune-pruned-int8", "export-pruned-int8",
        "quantize-and-validate-int8-onnxruntime", "quantize-and-validate-int8-openvino",
        "quantize-and-validate-pruned-int8-onnxruntime", "quantize-and-validate-pruned-int8-openvino",
        "benchmark", "select-and-promote", "confirm-and-report",
    }  # fmt: skip
    assert sorted(task.name for each in groups for task in each.tasks) == sorted(task.name for task in graph.tasks)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["recipes.auto=[{search: {candidates: 2}}]", "tune.trials=2"],
        ["members.a={recipes: {tta: [tta]}, votes: tta-openvino}", "members.b={}", "serve.approve=manual"],
    ],
)
def test_pods_come_after_what_they_need(overrides):
    _, groups = grouped(*overrides)
    seen = set()
    for each in groups:
        assert set(each.sources) <= seen, each.name
        for task in each.tasks:
            assert set(task.sources) <= seen, task.name
            seen.add(task.name)


def test_pods_that_differ_are_not_shared():
    _, groups = grouped("cluster.steps.finetune.gpu=1")
    assert {"prune-pruned-int8", "finetune-pruned-int8"} <= {each.name for each in groups}
    graph, alone = grouped("cluster.share_pods=false")
    assert {each.name for each in alone} == {task.name for task in graph.tasks}


def test_what_a_person_approved_is_promoted_when_the_rest_is_long_done():
    spec = load_spec(overrides=[*RECIPES, "serve.approve=manual"])
    alone = [each.name for each in group(plan(spec), sharer(spec.cluster))]
    approved = [each.name for each in group(plan(spec, approval={"selection": "x"}), sharer(spec.cluster))]
    assert set(approved) ^ set(alone) == {"promote", "confirm-and-report", "report"}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    graph, groups = grouped()
    file = tmp_path_factory.mktemp("graph") / "pipeline.yaml"
    write(build(graph, name="x", groups=groups), file)
    return yaml.safe_load(file.read_text())


def test_every_task_keeps_its_artifact(compiled):
    outputs = compiled["components"]["comp-quantize-and-validate-int8-openvino"]["outputDefinitions"]["artifacts"]
    assert {"quantize_int8_openvino_out", "validate_int8_openvino_out", "validate_int8_openvino_metrics"} <= set(
        outputs
    )
    assert outputs["quantize_int8_openvino_out"]["artifactType"]["schemaTitle"] == "system.Model"
    artifacts = compiled["root"]["dag"]["tasks"]["benchmark"]["inputs"]["artifacts"]
    assert artifacts["quantize_int8_openvino"]["taskOutputArtifact"] == {
        "producerTask": "quantize-and-validate-int8-openvino", "outputArtifactKey": "quantize_int8_openvino_out",
    }  # fmt: skip


def test_what_comes_from_outside_comes_once(compiled):
    artifacts = compiled["root"]["dag"]["tasks"]["confirm-and-report"]["inputs"]["artifacts"]
    producers = [source["taskOutputArtifact"]["outputArtifactKey"] for source in artifacts.values()]
    assert len([name for name in producers if name.startswith("validate_baseline")]) == 2
    assert "confirm" not in artifacts


def test_sources_stand_alone(compiled):
    for name, executor in compiled["deploymentSpec"]["executors"].items():
        source = executor["container"]["command"][-1]
        compile(source, name, "exec")
        assert "components.base" not in source
        assert "Many" not in source
