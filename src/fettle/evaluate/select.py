"""Selection: from what was measured to the model that is served, with every reason."""

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from fettle.errors import ArtifactError
from fettle.evaluate.evidence import Evidence, parents_of
from fettle.evaluate.gates import judge
from fettle.evaluate.measures import MEASURES, headline
from fettle.evaluate.never_worse import gain, worse_than
from fettle.evaluate.pareto import pareto_front
from fettle.evaluate.profiles import PROFILES, compared, pick
from fettle.evaluate.results import Candidate, Selection
from fettle.spec import GateConfig
from fettle.spec.recipes import BASELINE


def select(
    evidence: Sequence[Evidence],
    *,
    gates: GateConfig,
    profile: str,
    skipped: Mapping[str, str] = MappingProxyType({}),
    baselines: Collection[str] = (),
) -> Selection:
    """Judge all candidates and choose one.

    Args:
        evidence: The candidates.
        gates: What each must hold.
        profile: The profile whose pick is the winner.
        skipped: Candidates that could not be measured here, and why.
        baselines: Candidates of which the one that is best on val is what the others are compared with; by default the
            first whose recipe is ``baseline``.

    Raises:
        ArtifactError: If there is no baseline, or candidates were tested on different images.
    """
    roots = [one for one in evidence if one.name in baselines or (not baselines and one.validation.recipe == BASELINE)]
    if not roots:
        raise ArtifactError("There is no baseline among the candidates: validate and benchmark it with the others.")
    baseline = max(roots, key=_on_val) if baselines else roots[0]
    _check_same_images(evidence, baseline)
    rows = [_row(one, baseline, list(evidence), gates, is_root=one in roots or one.is_plain) for one in evidence]
    base = next(row for row in rows if row.name == baseline.name)
    eligible = [row for row in rows if row.eligible]
    task = baseline.validation.task
    picks = tuple(pick(name, eligible, base, task=task) for name in PROFILES)
    winner = next(choice.candidate for choice in picks if choice.profile == profile)
    return Selection(
        task=task,
        profile=profile,
        baseline=baseline.name,
        winner=winner,
        sentence=_sentence(rows, base, winner, profile, task),
        candidates=tuple(rows),
        pareto=pareto_front([row for row in rows if row.dropped is None]),
        picks=picks,
        skipped=dict(skipped),
    )


def _on_val(one: Evidence) -> float:
    """Return the headline score on val: the test split is not for choosing a baseline."""
    return float(getattr(one.validation.val, headline(one.validation.task).name, 0.0))


def _row(one: Evidence, baseline: Evidence, everyone: list[Evidence], gates: GateConfig, *, is_root: bool) -> Candidate:
    ancestors = [] if is_root else parents_of(one, everyone) or [baseline]
    timing = one.timing
    differences = one.outcome.against(baseline.outcome, max_drop=gates.max_drop, confidence=gates.confidence)
    return Candidate(
        name=one.name,
        recipe=one.validation.recipe,
        runtime=one.validation.runtime,
        precision=one.validation.precision,
        export=one.export["digest"],
        scores={each.name: getattr(one.validation.test, each.name) for each in MEASURES[one.validation.task]},
        p50_ms=timing.p50_ms,
        p95_ms=timing.p95_ms,
        throughput=timing.throughput,
        size_mb=one.size_mb,
        memory_mb=timing.memory_mb,
        load_ms=timing.load_ms,
        differences={} if one is baseline else differences,
        thresholds=one.validation.thresholds,
        parity=one.validation.parity,
        gates=judge(one, baseline, gates),
        parent=ancestors[0].name if ancestors else None,
        gain=gain(one, ancestors[0]) if ancestors else None,
        dropped=worse_than(one, ancestors),
    )


def _check_same_images(evidence: Sequence[Evidence], baseline: Evidence) -> None:
    for one in evidence:
        if not all(np.array_equal(array, baseline.truth[name]) for name, array in one.truth.items()):
            raise ArtifactError(
                f"{one.name} and {baseline.name} were not validated on the same images: validate both on one dataset."
            )


def _sentence(rows: Sequence[Candidate], baseline: Candidate, winner: str | None, profile: str, task: str) -> str:
    optimized = [row for row in rows if row.recipe != baseline.recipe]
    passed = sum(row.passed for row in rows)
    dropped = sum(row.dropped is not None for row in rows)
    tally = f"{passed} of {len(rows)} candidates pass all gates" + (
        f", {dropped} dropped as no gain." if dropped else "."
    )
    if winner is None:
        failed = ", ".join(gate.name for gate in baseline.gates if not gate.passed)
        return f"No winner: every candidate fails a gate or was dropped; the baseline itself fails {failed}. {tally}"
    row = next(row for row in rows if row.name == winner)
    chosen = f"{row.name} is the {profile} choice: {compared(row, baseline, task=task)}. {tally}"
    if optimized and not any(one.eligible for one in optimized):
        return f"No optimized candidate holds all gates and is better than its parent: the baseline stays. {chosen}"
    return chosen
