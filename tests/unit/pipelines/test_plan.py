"""The graph of a spec: shared prefixes once, named nodes, nothing that cannot run."""

from dataclasses import replace

import pytest

from fettle.errors import SpecError
from fettle.hardware import passport
from fettle.spec import load_spec
from pipelines.plan import plan

RECIPES = [
    "recipes.int8=[quantize]",
    "recipes.pruned-int8=[prune,finetune,quantize]",
    "recipes.pruned=[prune,finetune]",
    "recipes.slim=[{prune: {ratio: 0.5}}]",
]


@pytest.fixture
def graph():
    return plan(load_spec(overrides=RECIPES))


def test_tasks_come_after_what_they_need(graph):
    seen = set()
    for task in graph.tasks:
        assert set(task.sources) <= seen, task.name
        seen.add(task.name)
    assert len(seen) == len(graph.tasks)


def test_a_shared_prefix_runs_once_and_bears_the_name_of_the_recipe_that_ends_there(graph):
    names = [task.name for task in graph.tasks]
    assert [name for name in names if name.startswith("prune")] == ["prune-pruned", "prune-slim"]
    assert graph.task("quantize-pruned-int8-openvino").inputs["export"] == "export-pruned"
    assert graph.task("quantize-int8-openvino").inputs["export"] == "export-baseline"


def test_every_recipe_is_a_candidate_in_each_runtime(graph):
    expected = {f"{recipe}-{runtime}" for recipe in ("baseline", "int8", "pruned", "pruned-int8", "slim")
                for runtime in ("onnxruntime", "openvino")}  # fmt: skip
    assert {candidate.name for candidate in graph.candidates} == expected
    assert set(graph.task("benchmark").inputs["exports"]) == expected


def test_a_search_is_one_task_and_as_many_candidates_as_it_ends_with():
    graph = plan(load_spec(overrides=["recipes.auto=[{search: {minutes: 3, candidates: 2}}]", "gates.max_drop=0.02"]))
    task = graph.task("search-auto")
    assert task.inputs == {"model": "train", "dataset": "ingest"}
    assert (task.settings["config"]["max_drop"], task.settings["config"]["minutes"]) == (0.02, 3.0)
    assert [each.name for each in graph.candidates if each.name.startswith("auto")] == ["auto-1", "auto-2"]
    assert graph.task("pick-auto-2").settings == {"number": 2, "recipe": "auto-2"}
    assert graph.task("validate-auto-1").inputs["reference"] == "validate-baseline-onnxruntime"
    assert "search-auto" in graph.tasks[-1].sources, "the report tells of it"


def test_a_search_may_follow_pruning_but_not_views():
    graph = plan(load_spec(overrides=["recipes.auto=[{prune: {ratio: 0.3}}, finetune, search]"]))
    assert graph.task("search-auto").inputs["model"] == "finetune-auto"
    with pytest.raises(SpecError, match="leave one"):
        load_spec(overrides=["recipes.auto=[tta, search]"])


def test_precisions_go_only_to_runtimes_that_can(graph):
    graph = plan(load_spec(overrides=["recipes.bf16=[{quantize: {precision: bf16}}]"]))
    assert [each.runtime for each in graph.candidates if each.name.startswith("bf16")] == ["openvino"]


def test_recipes_for_hardware_that_is_not_here_are_left_out_and_said():
    spec = load_spec(
        overrides=[
            "recipes.trt=[tensorrt]",
            "recipes.bf16=[{quantize: {precision: bf16}}]",
            "runtimes=[openvino,tensorrt]",
        ]
    )
    here = plan(spec, machine=replace(passport(), gpu=None, flags=()))
    assert set(here.skipped) == {"trt", "bf16"}
    assert not [task.name for task in here.tasks if "trt" in task.name or "bf16" in task.name]
    cluster = plan(spec)
    assert cluster.task("tensorrt-trt-tensorrt").step == "tensorrt"


def test_manual_approval_ends_before_promotion():
    names = [task.name for task in plan(load_spec(overrides=["serve.approve=manual"])).tasks]
    assert "promote" not in names
    assert names[-1] == "report"


def test_tuning_comes_before_training_when_asked_for():
    graph = plan(load_spec(overrides=["tune.trials=3"]))
    assert graph.task("train").inputs["study"] == "tune"


def test_workers_share_the_trials_and_one_task_gathers_them():
    graph = plan(load_spec(overrides=["tune.trials=8", "tune.workers=3"]))
    workers = [task for task in graph.tasks if task.step == "tune"]
    assert [task.name for task in workers] == ["tune-1", "tune-2", "tune-3"]
    assert [task.settings["worker"] for task in workers] == ["tune-1", "tune-2", "tune-3"]
    assert all(task.inputs == {"dataset": "ingest"} for task in workers), "side by side"
    gather = graph.task("gather")
    assert gather.sources == ("ingest", "tune-1", "tune-2", "tune-3")
    shared = {key: value for key, value in workers[0].settings.items() if key != "worker"}
    assert gather.settings == shared, "by which it finds what they share"
    assert graph.task("train").inputs["study"] == "gather"
    assert {"tune-1", "gather"} <= set(graph.tasks[-1].sources), "the report tells of them"


@pytest.mark.parametrize("workers", [3, 0, -1])
def test_a_worker_without_a_trial_is_refused(workers):
    with pytest.raises(SpecError, match=r"tune.*(workers must be at most trials, which is 2|greater than or equal)"):
        load_spec(overrides=["tune.trials=2", f"tune.workers={workers}"])


def test_a_changed_gate_changes_only_what_depends_on_it():
    before, after = (plan(load_spec(overrides=[*RECIPES, f"gates.max_drop={drop}"])) for drop in (0.01, 0.02))
    changed = [new.name for old, new in zip(before.tasks, after.tasks, strict=True) if old != new]
    assert changed == ["select"]


ENSEMBLE = [
    "members.a={recipes: {int8: [quantize], tta: [tta], tta-int8: [tta, quantize]}, votes: int8-openvino}",
    "members.b={}",
    "recipes.int8=[quantize]",
]


@pytest.fixture
def ensemble():
    return plan(load_spec(overrides=ENSEMBLE))


def test_members_vote_with_the_candidates_that_they_name(ensemble):
    fitted = ensemble.task("vote-fitted")
    assert fitted.inputs["exports"] == {"a": "quantize-a-int8-openvino", "b": "export-b"}
    assert fitted.inputs["validations"] == {"a": "validate-a-int8-openvino", "b": "validate-b-openvino"}
    assert fitted.settings["weights"] == {"a": 0.5, "b": 0.5}
    assert ensemble.task("select").settings["baselines"] == ["a-int8-openvino", "b-openvino"]


def test_the_single_network_learns_from_the_fitted_vote(ensemble):
    assert ensemble.task("train-student").inputs["teacher"] == "vote-fitted"
    alone = plan(load_spec(overrides=[*ENSEMBLE, "ensemble.distil=null"])).task("train-student")
    assert "teacher" not in alone.inputs
    assert "distil" not in alone.settings


def test_every_network_has_candidates_under_its_name(ensemble):
    names = {candidate.name for candidate in ensemble.candidates}
    assert {"a-openvino", "a-int8-openvino", "a-tta-openvino", "a-tta-int8-openvino", "b-openvino"} <= names
    assert {"default-ensemble", "fitted-ensemble", "student-openvino", "student-int8-openvino"} <= names
    seen = set()
    for task in ensemble.tasks:
        assert set(task.sources) <= seen, task.name
        seen.add(task.name)


def test_views_are_an_export_beside_the_plain_one(ensemble):
    assert ensemble.task("export-a-tta").inputs["plain"] == "export-a"
    assert ensemble.task("quantize-a-tta-int8-openvino").inputs["export"] == "export-a-tta"
    assert [task.name for task in ensemble.tasks if "tta" in task.settings] == ["export-a-tta"]


def test_only_the_single_network_is_tuned():
    graph = plan(load_spec(overrides=[*ENSEMBLE, "tune.trials=3"]))
    assert graph.task("train-student").inputs["study"] == "tune"
    assert "study" not in graph.task("train-a").inputs


def test_what_is_of_a_machine_is_done_again_on_another():
    """Cached tasks are found by their settings: measured elsewhere is not measured here."""
    spec, here = load_spec(overrides=["recipes.int8=[quantize]"]), replace(passport(), gpu=None)
    other = replace(here, flags=(*here.flags, "avx512_vnni", "amx_int8"))
    mine, theirs = plan(spec, machine=here), plan(spec, machine=other)
    changed = {task.step for task in mine.tasks if task != theirs.task(task.name)}
    assert changed == {"quantize", "validate", "benchmark"}  # and prune, where there is one
    assert {"ingest", "train", "export", "select"} <= {task.step for task in mine.tasks} - changed
    assert plan(spec, machine=here) == mine
