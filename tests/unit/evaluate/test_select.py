"""Selection: the front, never worse, the profiles and the words."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from fettle.errors import ArtifactError
from fettle.evaluate import results
from fettle.evaluate.evidence import parents_of
from fettle.evaluate.never_worse import worse_than
from fettle.evaluate.pareto import pareto_front
from fettle.evaluate.profiles import PROFILES
from fettle.evaluate.results import Selection
from fettle.evaluate.select import select
from fettle.spec import GateConfig


def lineage(digest: str, *parents: Mapping[str, Any], kind: str = "export") -> dict[str, Any]:
    return {"kind": kind, "name": digest, "digest": digest, "parents": {str(i): each for i, each in enumerate(parents)}}


GATES = GateConfig()
MODEL = lineage("model", lineage("dataset", kind="dataset"), kind="model")
PRUNED = lineage("pruned", MODEL, kind="model")
TUNED = lineage("tuned", PRUNED, MODEL, kind="model")
BASE_EXPORT = lineage("export-baseline", MODEL)
PRUNED_EXPORT = lineage("export-pruned", TUNED)


@pytest.fixture
def family(make_evidence):
    """The baseline in two runtimes, and what was made of it."""
    return [
        make_evidence(export=BASE_EXPORT),
        make_evidence(runtime="openvino", ms=7, export=BASE_EXPORT),
        make_evidence("int8", wrong=[0], ms=4, size_mb=10, export=lineage("int8-ort", BASE_EXPORT)),
        make_evidence("int8", "openvino", ms=3, size_mb=10, export=lineage("int8-ov", BASE_EXPORT)),
        make_evidence("pruned", ms=8, size_mb=28, export=PRUNED_EXPORT),
        make_evidence("pruned-int8", wrong=range(9), ms=2, size_mb=7, export=lineage("p8", PRUNED_EXPORT)),
    ]


def choose(evidence, **options) -> Selection:
    return select(evidence, **({"gates": GATES, "profile": "balanced"} | options))


def test_parents_are_found_by_descent_not_by_name(family) -> None:
    parents = {one.name: [parent.name for parent in parents_of(one, family)] for one in family}
    assert parents == {
        "baseline-onnxruntime": [],
        "baseline-openvino": [],
        "int8-onnxruntime": ["baseline-onnxruntime"],
        "int8-openvino": ["baseline-openvino"],
        "pruned-onnxruntime": ["baseline-onnxruntime"],
        "pruned-int8-onnxruntime": ["pruned-onnxruntime", "baseline-onnxruntime"],
    }


def test_picks_winner_and_front(family) -> None:
    found = choose(family)
    assert {pick.profile: pick.candidate for pick in found.picks} == {
        "accuracy": "int8-openvino",  # as right as the baseline, and the fastest of those
        "balanced": "int8-openvino",
        "edge": "int8-openvino",  # pruned-int8 is smaller, but loses 4.5 points
        "throughput": "int8-openvino",
    }
    assert found.winner == "int8-openvino"
    assert not found.candidate("pruned-int8-onnxruntime").passed
    assert set(found.pareto) == {"int8-openvino", "pruned-int8-onnxruntime"}
    assert "5 of 6 candidates pass all gates" in found.sentence
    assert "3.3x faster than baseline-onnxruntime" in found.sentence
    assert "75% smaller" in found.sentence


def test_profiles_disagree_where_they_should(make_evidence) -> None:
    evidence = [
        make_evidence(wrong=[0], export=BASE_EXPORT),
        make_evidence("exact", ms=9, size_mb=39, export=lineage("a", BASE_EXPORT)),
        make_evidence("quick", wrong=[0, 1], ms=2, batch_ms=100, size_mb=20, export=lineage("b", BASE_EXPORT)),
        make_evidence("small", wrong=[0, 1, 2], ms=5, batch_ms=90, size_mb=4, export=lineage("c", BASE_EXPORT)),
        make_evidence("wide", wrong=[0, 1, 2], ms=6, batch_ms=20, size_mb=39, export=lineage("d", BASE_EXPORT)),
    ]
    picks = {pick.profile: pick.candidate.removesuffix("-onnxruntime") for pick in choose(evidence).picks}
    assert picks == {"accuracy": "exact", "balanced": "quick", "edge": "small", "throughput": "wide"}
    for profile in PROFILES:
        assert choose(evidence, profile=profile).winner == f"{picks[profile]}-onnxruntime"


@pytest.mark.parametrize(
    ("ms", "batch_ms", "size_mb", "reason"),
    [
        (5, 50, 40, None),  # faster
        (10, 60, 40, None),  # faster at batch 16
        (12, 60, 40, None),  # slower alone, faster in batches
        (10, 100, 10, None),  # as fast and smaller
        (10, 120, 10, "is slower at batch 16 than baseline-onnxruntime"),
        (
            12,
            120,
            10,
            "is slower at batch 1 and batch 16 than baseline-onnxruntime",
        ),  # smaller does not make up for slower
        (10, 100, 40, "is neither surely faster nor smaller"),
        (9.9, 99, 40, "is neither surely faster nor smaller"),  # 1% is not worth another model
    ],
)
def test_never_worse(make_evidence, ms, batch_ms, size_mb, reason) -> None:
    parent = make_evidence(batch_ms=100)
    found = worse_than(make_evidence("int8", ms=ms, batch_ms=batch_ms, size_mb=size_mb, jitter=0.005), [parent])
    assert (found is None) if reason is None else (reason in found)


def test_a_gain_within_the_noise_is_no_gain(make_evidence) -> None:
    parent, child = make_evidence(jitter=0.4), make_evidence("int8", ms=9.4, jitter=0.4)
    assert worse_than(child, [parent])


def test_better_than_a_bad_parent_is_not_enough(make_evidence) -> None:
    """Pruning made it slower; quantization brings half of that back: still slower than the baseline."""
    base, pruned = make_evidence(), make_evidence("pruned", ms=20)
    assert "than baseline-onnxruntime, and not surely better" in worse_than(
        make_evidence("pruned-int8", ms=13), [pruned, base]
    )
    assert worse_than(make_evidence("pruned-int8", ms=8), [pruned, base]) is None


def test_dropped_candidates_are_told_and_never_win(make_evidence) -> None:
    slow = make_evidence("int8", ms=30, size_mb=10, export=lineage("a", BASE_EXPORT))
    found = choose([make_evidence(export=BASE_EXPORT), slow], profile="edge")
    assert found.winner == "baseline-onnxruntime"
    assert "3.0x slower" in found.candidate("int8-onnxruntime").dropped
    assert found.pareto == ("baseline-onnxruntime",)
    assert found.sentence.startswith("No optimized candidate holds all gates and is better than its parent")


def test_the_fastest_baseline_stays_when_nothing_passes(make_evidence) -> None:
    bad = make_evidence("int8", wrong=range(50), ms=1, export=lineage("a", BASE_EXPORT))
    found = choose([make_evidence(export=BASE_EXPORT), make_evidence(runtime="openvino", ms=7), bad])
    assert found.winner == "baseline-openvino"
    assert "the baseline stays" in found.sentence


def test_no_winner_when_the_baseline_fails_too(make_evidence) -> None:
    found = choose([make_evidence(wrong=range(60), export=BASE_EXPORT)], gates=GateConfig(min_accuracy=0.9))
    assert found.winner is None
    assert "the baseline itself fails min_accuracy" in found.sentence
    assert all(pick.candidate is None for pick in found.picks)


def test_pareto_front_against_brute_force(family) -> None:
    rng, row = np.random.default_rng(0), choose(family).candidates[0]
    rows = [
        dataclasses.replace(row, name=str(i), scores={"accuracy": a}, p50_ms=m, size_mb=s)
        for i, (a, m, s) in enumerate(rng.integers(0, 6, (60, 3)).tolist())
    ]
    beaten = {
        two.name
        for one, two in itertools.permutations(rows, 2)
        if one.score >= two.score
        and one.p50_ms <= two.p50_ms
        and one.size_mb <= two.size_mb
        and (one.score > two.score or one.p50_ms < two.p50_ms or one.size_mb < two.size_mb)
    }
    assert set(pareto_front(rows)) == {row.name for row in rows} - beaten
    assert 0 < len(beaten) < 60


def test_refuses_other_images_and_a_missing_baseline(make_evidence) -> None:
    other = make_evidence("int8", labels=np.zeros(200, int))
    with pytest.raises(ArtifactError, match="int8-onnxruntime and baseline-onnxruntime were not validated on the same"):
        choose([make_evidence(), other])
    with pytest.raises(ArtifactError, match="no baseline"):
        choose([make_evidence("int8")])


def test_survives_json(family, tmp_path) -> None:
    found = choose(family, skipped={"trt-tensorrt": "no GPU"})
    results.save(tmp_path / "selection.json", found)
    assert results.load(tmp_path / "selection.json", Selection) == found
    (tmp_path / "selection.json").write_text('{"winner": 1}')
    with pytest.raises(ArtifactError, match="is not a selection"):
        results.load(tmp_path / "selection.json", Selection)


def with_val(validation: results.Validation, accuracy: float) -> results.Validation:
    return dataclasses.replace(validation, val=dataclasses.replace(validation.test, accuracy=accuracy))


def test_the_member_that_is_best_on_val_is_the_baseline(make_evidence) -> None:
    members = [
        dataclasses.replace(one, validation=with_val(one.validation, on_val))
        for one, on_val in (
            (make_evidence("a", wrong=range(20), export=lineage("a")), 0.9),
            (make_evidence("b", wrong=range(30), ms=20, export=lineage("b")), 0.95),
        )
    ]
    vote = make_evidence("fitted", "ensemble", wrong=range(5), ms=30, export=lineage("v"))
    found = choose([*members, vote], baselines=[one.name for one in members])
    assert found.baseline == "b-onnxruntime"
    assert found.candidate("a-onnxruntime").parent is None  # it stands on its own, faster or not
    assert found.candidate("fitted-ensemble").parent == "b-onnxruntime"
    assert found.candidate("fitted-ensemble").dropped is None  # slower, and better beyond chance


def test_slower_and_better_by_chance_does_not_pay(make_evidence) -> None:
    base = make_evidence(wrong=range(10), export=BASE_EXPORT)
    found = choose([base, make_evidence("tta", wrong=range(9), ms=50, export=lineage("t", BASE_EXPORT))])
    assert "5.0x slower" in found.candidate("tta-onnxruntime").dropped
    assert "+0.50 points" in found.candidate("tta-onnxruntime").dropped


def test_a_teacher_is_no_ancestor(make_evidence) -> None:
    taught = {**lineage("s", BASE_EXPORT)}
    taught["parents"] = {"teacher": BASE_EXPORT}
    student = make_evidence("student", export=taught)
    assert parents_of(student, [make_evidence(export=BASE_EXPORT), student]) == []


def test_a_network_as_it_was_trained_stands_on_its_own(make_evidence) -> None:
    trained = lineage("other", lineage("dataset", kind="dataset"), kind="model")
    taught = {**lineage("taught", kind="model"), "parents": {"teacher": BASE_EXPORT}}
    base = make_evidence(export=BASE_EXPORT)
    found = choose([
        base,
        make_evidence("slow", ms=50, export=lineage("a", trained)),
        make_evidence("student", ms=50, export=lineage("b", taught)),
    ])  # fmt: skip
    assert found.candidate("slow-onnxruntime").parent is None
    assert found.candidate("student-onnxruntime").parent == base.name
