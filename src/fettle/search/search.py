"""The search: workers take what is most worth knowing next, until the time is over.

Latency is known first, for it needs no trained weights; accuracy comes by rising fidelity; what cannot be better than
what is known is left before it costs anything. All that was found is in a folder, so that a search which was stopped
goes on, and several workers share one.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
from torch import nn

from fettle.export.manifest import read_manifest
from fettle.search.ablation import Ablation, ablate
from fettle.search.ground import Ground, survey
from fettle.search.space import open_study
from fettle.search.stages import Stages
from fettle.search.subject import Subject
from fettle.search.track import Track
from fettle.search.trials import WHOLE, Notebook, Trial
from fettle.search.whole import Standing, read_standings
from fettle.search.worker import Worker
from fettle.spec import SearchConfig
from fettle.train.exported_teacher import ExportedTeacher
from fettle.train.remembered import RememberedTeacher
from fettle.tune.claims import Claims


@dataclass(frozen=True)
class Found:
    """What a search ends with.

    Attributes:
        ground: What it started from.
        trials: All, in their order.
        standings: Number of a trial that was made -> its forms; :data:`WHOLE` -> those of the whole network.
        spent: Seconds, by what they were spent on.
        notebook: Where exports and networks lie.
        ablation: What each lever brought, where it was asked for and a trial is good enough.
    """

    ground: Ground
    trials: tuple[Trial, ...]
    standings: dict[str, tuple[Standing, ...]]
    spent: dict[str, float]
    notebook: Notebook
    ablation: Ablation | None = None


def search(subject: Subject, config: SearchConfig, *, runtimes: Sequence[str], folder: Path, tables: Path) -> Found:
    """Search until the time is over.

    Args:
        subject: What is searched.
        config: How, and for how long.
        runtimes: That may serve it.
        folder: Of the search. Processes that are given the same one share the work and the time.
        tables: Folder of the latency tables; searches of other networks share it.

    Raises:
        OptimizeError: See :func:`fettle.search.ground.survey`.
        TrainError: If the search was interrupted; the same call goes on.
    """
    optuna.logging.disable_default_handler()
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    notebook, claims = Notebook(folder), Claims(folder / "workers")
    try:
        with Track(subject.calibration) as track:
            with claims.exclusive():  # the others wait for what all of them start from
                ground = survey(subject, config, runtimes=runtimes, notebook=notebook, tables=tables, track=track)
                study = open_study(folder / "journal.log", ground.space)
            subject = replace(subject, teacher=RememberedTeacher(_teacher(subject, ground, notebook)))
            Worker(Stages(subject, config, ground, notebook, track, study), claims).work()
            with claims.exclusive():  # the others wait, and read what the first has noted
                ablation = ablate(subject, config, ground, notebook, track) if config.ablation else None
        return Found(ground, tuple(notebook.trials()), read_standings(notebook), notebook.spent(), notebook, ablation)
    finally:
        claims.close()


def _teacher(subject: Subject, ground: Ground, notebook: Notebook) -> nn.Module:
    """Return the whole network; as it was exported, where it can be, for that is several times as fast as in torch."""
    export = read_manifest(notebook.exports(WHOLE) / str(ground.form))
    if subject.architecture.task != "classify" or export.runtime_options(ground.form.runtime):
        return subject.model
    return ExportedTeacher(
        export.file, ground.form.runtime, subject.architecture, digest=f"{subject.digest} {ground.form}"
    )
