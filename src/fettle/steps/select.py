"""Step ``select``: gates, the Pareto front, the profiles' picks and the winner."""

from collections.abc import Sequence
from pathlib import Path

from fettle import card
from fettle.card import Artifact
from fettle.errors import ArtifactError
from fettle.evaluate import results
from fettle.evaluate.evidence import Evidence
from fettle.evaluate.measures import headline
from fettle.evaluate.predictions import read_predictions
from fettle.evaluate.results import Benchmark, Selection, Validation
from fettle.evaluate.select import select as choose
from fettle.spec import GateConfig, ProfileName


def select(
    validations: Sequence[Path],
    benchmark: Path,
    out: Path,
    *,
    gates: GateConfig,
    profile: ProfileName,
    baselines: Sequence[str] = (),
) -> Artifact:
    """Judge every candidate that was validated and measured, and choose one.

    The artifact is written whether there is a winner or not: it says why not.

    Args:
        validations: ``validation`` artifacts, the baseline's among them.
        benchmark: ``benchmark`` artifact of the same exports.
        out: Where the ``selection`` artifact is written.
        gates: What a candidate must hold.
        profile: Whose pick wins.
        baselines: See :func:`fettle.evaluate.select.select`.

    Raises:
        ArtifactError: If a candidate was not measured, or another export of that name was.
    """
    timed = Artifact.open(benchmark, kind="benchmark")
    tested = [Artifact.open(path, kind="validation") for path in validations]
    measured = results.load(benchmark / results.BENCHMARK, Benchmark)
    evidence = [_evidence(each, timed, measured) for each in tested if each.card.name not in measured.skipped]
    selection = choose(evidence, gates=gates, profile=profile, skipped=measured.skipped, baselines=baselines)
    parents = {each.card.name: each.card for each in tested} | {"benchmark": timed.card}
    config = {"gates": gates.to_json(), "profile": profile, "baselines": list(baselines)}
    with card.create(out, kind="selection", name="selection", config=config, parents=parents) as draft:
        results.save(draft.path / results.SELECTION, selection)
        draft.summary.update(winner=selection.winner, sentence=selection.sentence, **_summary(selection))
    return Artifact.open(out, kind="selection", verify=False)


def _evidence(tested: Artifact, timed: Artifact, measured: Benchmark) -> Evidence:
    name, export = tested.card.name, tested.card.parents["export"]
    if name not in measured.candidates:
        raise ArtifactError(f"{name} was validated but not measured in {timed.path}: benchmark it with the others.")
    if timed.card.parents[name]["digest"] != export["digest"]:
        raise ArtifactError(
            f"{name} was validated and measured from different exports: run both steps on the same one."
        )
    return Evidence(
        validation=results.load(tested.path / results.METRICS, Validation),
        predictions=read_predictions(tested.path),
        timing=measured.candidates[name],
        export=export,
    )


def _summary(selection: Selection) -> dict[str, float]:
    if selection.winner is None:
        return {}
    row = selection.candidate(selection.winner)
    return {headline(selection.task).name: row.score, "p50_ms": row.p50_ms, "size_mb": row.size_mb}
