"""The network as it is, in every form: what a search starts from, and what it may not fall behind."""

import contextlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fettle.errors import OptimizeError
from fettle.evaluate.latency import interleave
from fettle.evaluate.score import score
from fettle.export import Export
from fettle.optimize.quantization import quantize
from fettle.search.forms import Form
from fettle.search.subject import Subject
from fettle.search.track import ROUNDS, Track
from fettle.search.trials import WHOLE, Notebook
from fettle.spec import QuantizeConfig

log = logging.getLogger("fettle")


@dataclass(frozen=True)
class Standing:
    """A network in one form.

    Attributes:
        form: Runtime and precision.
        ms: Latency at batch 1, the median.
        score: The headline score on val, of the exported file in its runtime.
    """

    form: Form
    ms: float
    score: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> "Standing":
        return cls(Form(**raw["form"]), raw["ms"], raw["score"])


def stand(track: Track, exported: Export, forms: Sequence[Form], *, subject: Subject, folder: Path) -> list[Standing]:
    """Bring an export into all forms, score each on val, and time them interleaved.

    Args:
        track: Where they are timed.
        exported: Float ONNX file.
        forms: What is tried; one that the network cannot be brought to is left out, and the log says why.
        subject: Whose images calibrate and score it.
        folder: Where each form's files and manifest are written, under its name.

    Returns:
        What is known of each, the fastest first.
    """
    made: dict[Form, tuple[Export, float]] = {}
    for form in forms:
        place = folder / str(form)
        place.mkdir(parents=True, exist_ok=True)
        config = QuantizeConfig(precision=form.precision)
        try:
            export = quantize(exported, place, subject.calibration, config=config, runtime=form.runtime)
            made[form] = export, score(export, subject.val, form.runtime)
        except OptimizeError as error:
            log.warning("%s is left out: %s", form, error)
            continue
        export.save()
    if not made:
        raise OptimizeError("The network can be brought to none of the forms that are to be searched.")
    with contextlib.ExitStack() as stack:
        engines = {
            str(form): stack.enter_context(track.start(str(form), export, form.runtime))
            for form, (export, _) in made.items()
        }
        samples = interleave(engines, batches=(1,), rounds=ROUNDS)
    standings = [
        Standing(form, float(np.median(np.concatenate(samples[str(form)][1]))) * 1e3, reached)
        for form, (_, reached) in made.items()
    ]
    return sorted(standings, key=lambda standing: standing.ms)


def read_standings(notebook: Notebook) -> dict[str, tuple[Standing, ...]]:
    """Return the forms of the whole network, under :data:`WHOLE`, and of each trial in full, under its number."""
    noted = {WHOLE: notebook.noted(WHOLE)}
    for trial in notebook.trials():
        if (forms := notebook.noted(f"trial-{trial.number}/standings")) is not None:
            noted[str(trial.number)] = forms
    return {owner: tuple(Standing.from_json(each) for each in forms) for owner, forms in noted.items()}
