"""The compiled pipeline: what a Kubeflow server and the local runner get."""

import pytest
import yaml

from fettle.spec import load_spec
from pipelines.graph import build, write
from pipelines.plan import plan


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    file = tmp_path_factory.mktemp("graph") / "pipeline.yaml"
    graph = plan(load_spec(overrides=["recipes.int8=[quantize]", "tune.trials=2", "gates.class_floor=null"]))
    write(build(graph, name="x"), file)
    return graph, yaml.safe_load(file.read_text())


def test_every_task_is_a_node_with_its_own_name(compiled):
    graph, spec = compiled
    assert set(spec["root"]["dag"]["tasks"]) == {task.name for task in graph.tasks}
    assert set(spec["components"]) == {f"comp-{task.name}" for task in graph.tasks}


def test_candidates_meet_as_artifacts_so_that_the_lineage_is_whole(compiled):
    _, spec = compiled
    artifacts = spec["root"]["dag"]["tasks"]["benchmark"]["inputs"]["artifacts"]
    assert artifacts["quantize_int8_openvino"]["taskOutputArtifact"]["producerTask"] == "quantize-int8-openvino"
    assert artifacts["export_baseline"]["taskOutputArtifact"]["producerTask"] == "export-baseline"


def test_no_task_takes_an_artifact_twice(compiled):
    """ML Metadata refuses it: an artifact is an input of an execution once."""
    _, spec = compiled
    for name, task in spec["root"]["dag"]["tasks"].items():
        sources = [
            tuple(each["taskOutputArtifact"].values()) for each in task.get("inputs", {}).get("artifacts", {}).values()
        ]
        assert len(sources) == len(set(sources)), name


def test_component_sources_stand_alone(compiled):
    _, spec = compiled
    for name, executor in spec["deploymentSpec"]["executors"].items():
        source = executor["container"]["command"][-1]
        compile(source, name, "exec")
        assert "components.base" not in source
        assert "Many" not in source


def test_settings_reach_the_task_as_json_that_keeps_null_and_integers(compiled):
    _, spec = compiled
    parameters = spec["root"]["dag"]["tasks"]["select"]["inputs"]["parameters"]
    assert '"class_floor": null' in parameters["select_gates"]["runtimeValue"]["constant"]


def test_an_ensemble_compiles_with_its_members_as_artifacts(tmp_path):
    overrides = ["members.a={recipes: {tta: [tta]}, votes: tta-openvino}", "members.b={}", "runtimes=[openvino]"]
    write(build(plan(load_spec(overrides=overrides)), name="x"), tmp_path / "pipeline.yaml")
    tasks = yaml.safe_load((tmp_path / "pipeline.yaml").read_text())["root"]["dag"]["tasks"]
    sources = {
        name: {source["taskOutputArtifact"]["producerTask"] for source in tasks[name]["inputs"]["artifacts"].values()}
        for name in ("vote-fitted", "train-student")
    }
    assert sources == {
        "vote-fitted": {"export-a-tta", "export-b", "validate-a-tta-openvino", "validate-b-openvino"},
        "train-student": {"ingest", "vote-fitted"},
    }


def test_the_trials_of_several_workers_meet_as_artifacts(tmp_path):
    write(build(plan(load_spec(overrides=["tune.trials=6", "tune.workers=3"])), name="x"), tmp_path / "pipeline.yaml")
    tasks = yaml.safe_load((tmp_path / "pipeline.yaml").read_text())["root"]["dag"]["tasks"]
    producers = [each["taskOutputArtifact"]["producerTask"] for each in tasks["gather"]["inputs"]["artifacts"].values()]
    assert sorted(producers) == ["ingest", "tune-1", "tune-2", "tune-3"]
    assert "gather" in tasks["train"]["dependentTasks"]
