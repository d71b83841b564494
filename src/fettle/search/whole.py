"""The network as it is, in every form: what a search starts from, and what it may not fall behind."""

import contextlib
import logging
import math
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fettle.errors import OptimizeError
from fettle.evaluate import words
from fettle.evaluate.contestants import EngineContestant
from fettle.evaluate.latency import interleave
from fettle.evaluate.score import score
from fettle.export import Export
from fettle.export.manifest import read_manifest
from fettle.optimize.calibration import calibration_subset
from fettle.optimize.quantization import quantize
from fettle.optimize.recovery import Recovery, quantize_within
from fettle.search.forms import UNFIT, Form
from fettle.search.subject import Subject
from fettle.search.track import ROUNDS, Track, race_all
from fettle.search.trials import WHOLE, Notebook, Trial
from fettle.spec import QuantizeConfig

log = logging.getLogger("fettle")


@dataclass(frozen=True)
class Standing:
    """A network in one form.

    Attributes:
        form: Runtime and precision.
        ms: Latency at batch 1, the median.
        score: The headline score on val, of the exported file in its runtime.
        kept: Names of the layers that stayed in float, since they suffer most.
        drop: What the network had lost before it was brought there (:meth:`fettle.search.judge.Judge.drop`).
    """

    form: Form
    ms: float
    score: float
    kept: tuple[str, ...] = ()
    drop: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Standing":
        return cls(**{**raw, "form": Form(**raw["form"]), "kept": tuple(raw["kept"])})


def stand(
    track: Track,
    exported: Export,
    forms: Sequence[Form],
    *,
    subject: Subject,
    folder: Path,
    max_drop: float,
    reference: float | None = None,
    mend: Collection[Form] | None = None,
    until: float = math.inf,
    beside: tuple[EngineContestant, float] | None = None,
) -> list[Standing]:
    """Bring an export into all forms, score each on val, and time them interleaved.

    Args:
        track: Where they are timed.
        exported: Float ONNX file.
        forms: What is tried; one that the network cannot be brought to is left out, and the log says why.
        subject: Whose images calibrate and score it.
        folder: Where each form's files and manifest are written, under its name.
        max_drop: What a form may lose: one in INT8 that loses more gets its most sensitive layers back in float.
        reference: Of which score; by default :func:`reference_score`.
        mend: Of which forms that is worth the time it takes; by default of all.
        until: Of :func:`time.monotonic`, after which no more is tried for it.
        beside: What they are timed beside, and the latency that it is known to have: a machine is not always as fast.

    Returns:
        What is known of each, the fastest first.
    """
    made = {form: each for form in forms if (each := _bring(exported, form, subject, folder)) is not None}
    if reference is None:
        reference = reference_score({form: each.score for form, each in made.items()})
    floor = reference - max_drop
    for form in forms if mend is None else mend:
        if form.precision != "int8" or (form in made and made[form].score >= floor):
            continue
        plain = made[form].export if form in made else None
        if mixed := _mix(exported, form, subject, folder, max_drop, plain, until):
            made[form] = max(made.get(form, mixed), mixed, key=lambda each: each.score)
    for form in set(forms) - set(made):
        log.warning("%s is left out", form)
    if not made:
        raise OptimizeError("The network can be brought to none of the forms that are to be searched.")
    for form, each in made.items():
        _settle(each.export, folder / str(form))
    with contextlib.ExitStack() as stack:
        engines = {
            str(form): stack.enter_context(track.start(str(form), read_manifest(folder / str(form)), form.runtime))
            for form in made
        }
        times = _time(engines, beside)
    standings = [Standing(form, times[str(form)], each.score, each.kept) for form, each in made.items()]
    return sorted(standings, key=lambda standing: standing.ms)


def _time(engines: Mapping[str, EngineContestant], beside: tuple[EngineContestant, float] | None) -> dict[str, float]:
    """Return latencies in ms."""
    if beside is None:
        samples = interleave(engines, batches=(1,), rounds=ROUNDS)
        return {name: float(np.median(np.concatenate(samples[name][1]))) * 1e3 for name in engines}
    known, ms = beside
    return {name: ms / ratio.estimate for name, ratio in race_all(known, engines).items()}


def reference_score(scores: Mapping[Form, float]) -> float:
    """Return what drops are counted from: the best score in float, for INT8 may be lucky; without any, the best."""
    plain = [score for form, score in scores.items() if form.precision != "int8"]
    return max(plain or scores.values(), default=0.0)


@dataclass(frozen=True)
class _Made:
    export: Export
    score: float
    kept: tuple[str, ...] = ()


def _bring(exported: Export, form: Form, subject: Subject, folder: Path) -> _Made | None:
    place = _fresh(folder / f".{form}")
    config = QuantizeConfig(precision=form.precision)
    try:
        export = quantize(exported, place, subject.calibration, config=config, runtime=form.runtime)
        return _Made(export, score(export, subject.val, form.runtime))
    except UNFIT as error:
        log.warning("%s: %s", form, error)
        return None


def _mix(
    exported: Export,
    form: Form,
    subject: Subject,
    folder: Path,
    max_drop: float,
    plain: Export | None,
    until: float,
) -> _Made | None:
    """Return what keeps calib's score where ``plain`` does not; val stays for judging."""
    try:
        found = hold(exported, form, subject, _fresh(folder / f".{form}-mixed"), max_drop, plain=plain, until=until)
        if found.export is plain:  # good enough on calib
            return None
        made = _Made(found.export, score(found.export, subject.val, form.runtime), found.kept)
    except UNFIT as error:
        log.warning("%s: %s", form, error)
        return None
    log.info("%s otherwise, %d layers in float: %s", form, len(made.kept), words.percent(made.score))
    return made


def hold(
    exported: Export,
    form: Form,
    subject: Subject,
    folder: Path,
    max_drop: float,
    *,
    plain: Export | None = None,
    until: float = math.inf,
) -> Recovery:
    """Quantize so that calib keeps its score: :func:`fettle.optimize.recovery.quantize_within`.

    Args:
        exported: Float ONNX file.
        form: In which it is wanted.
        subject: Whose images calibrate and score it.
        folder: Where the files are written.
        max_drop: What it may lose.
        plain: What plain quantization made of it, if that was done already.
        until: Of :func:`time.monotonic`, after which nothing else is tried.

    Raises:
        OptimizeError: If it cannot be held.
    """
    subset = calibration_subset(subject.data)
    return quantize_within(
        exported, folder, subject.calibration, runtime=form.runtime, plain=plain, until=until,
        config=QuantizeConfig(precision=form.precision, max_drop=max_drop),
        score=lambda export: score(export, subset, form.runtime),
    )  # fmt: skip


def _fresh(place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    return place


def _settle(export: Export, place: Path) -> None:
    """Put the files of an export, and its manifest, where they stay."""
    export.save()
    shutil.rmtree(place, ignore_errors=True)
    export.path.rename(place)


def read_standings(notebook: Notebook) -> dict[str, tuple[Standing, ...]]:
    """Return the forms of the whole network, under :data:`WHOLE`, and of each trial that was made, under its number."""
    noted = {WHOLE: notebook.noted(WHOLE)}
    for trial in notebook.trials():
        if (forms := notebook.noted(standings_of(trial))) is not None:
            noted[str(trial.number)] = forms
    return {owner: tuple(Standing.from_json(each) for each in forms) for owner, forms in noted.items()}


def standings_of(trial: Trial) -> str:
    """Return under which name the forms of a trial are noted."""
    return f"trial-{trial.number}/standings"
