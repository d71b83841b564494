"""What a search chooses from, and how it chooses."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from fettle.search.shapes import Shape

SHARES = (0.12, 0.7)  # of the whole network's latency that are aimed at
SIZES = (1.0, 0.86, 0.72, 0.57)  # of the image size
SMALLEST = 32  # pixels
STARTUP = 8


@dataclass(frozen=True)
class Space:
    """The levers that there are for one network.

    Attributes:
        sizes: Sides of the images, the whole first.
        blocks: How many blocks may be skipped at most.
        widths: Whether channels may go.
        importances: How they may be ranked.
        width_steps: What widths may be multiples of.
    """

    sizes: tuple[int, ...]
    blocks: int
    widths: bool
    importances: tuple[str, ...]
    width_steps: tuple[int, ...]

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Return Optuna's names for it; a lever without a choice is none."""
        found: dict[str, BaseDistribution] = {
            "input_size": CategoricalDistribution(self.sizes),
            "skipped": IntDistribution(0, self.blocks),
        }
        if self.widths:
            found |= {
                "spread": CategoricalDistribution(("even", "clock")),
                "importance": CategoricalDistribution(self.importances),
                "width_step": CategoricalDistribution(self.width_steps),
                "share": FloatDistribution(*SHARES, log=True),
            }
        return found

    def shape(self, params: Mapping[str, Any]) -> Shape:
        """Return what values of the levers ask for."""
        given = {"spread": "even", "importance": self.importances[0], "width_step": 1, "share": 1.0, **params}
        return Shape(**given)

    def first(self) -> list[dict[str, Any]]:
        """Return the trials to begin with: each lever alone and together with others, from the middle to both ends.

        Where the middle loses nothing, milder ones are overtaken before they cost anything.
        """
        whole, middle = self.sizes[0], self.sizes[len(self.sizes) // 2]
        few, many = min(1, self.blocks), self.blocks // 2
        step, importance = self.width_steps[len(self.width_steps) // 2], self.importances[0]
        widths = {"spread": "even", "importance": importance, "width_step": step}
        begin: list[dict[str, Any]] = [
            {"input_size": self.sizes[min(1, len(self.sizes) - 1)], "skipped": 0, **widths, "share": 0.4},
            {"input_size": middle, "skipped": 0, **widths, "share": 0.7},
            {"input_size": whole, "skipped": few, **widths, "spread": "clock", "share": 0.4},
            {"input_size": whole, "skipped": 0, **widths, "share": 0.6},
            {"input_size": middle, "skipped": few, **widths, "share": 0.25},
            {"input_size": whole, "skipped": many, **widths, "spread": "clock", "share": 0.7},
        ]
        known = set(self.distributions)
        return [{key: value for key, value in trial.items() if key in known} for trial in begin]


def input_sizes(image_size: int, grid: int) -> tuple[int, ...]:
    """Return the sides to choose from, multiples of ``grid``, the whole first."""
    sizes = [image_size, *(round(image_size * share / grid) * grid for share in SIZES[1:])]
    return tuple(dict.fromkeys(size for size in sizes if size >= SMALLEST or size == image_size))


def open_study(journal: Path, space: Space) -> optuna.Study:
    """Return the study that the workers of a search share, which begins with what ``space`` begins with.

    Args:
        journal: The file that it is kept in; whoever opens it first makes it, while the others wait.
        space: Of the levers.
    """
    study = optuna.create_study(
        study_name="fettle",
        storage=JournalStorage(JournalFileBackend(str(journal))),
        direction="minimize",  # Policy.cost
        load_if_exists=True,
    )
    if not study.trials:
        for params in space.first():
            study.enqueue_trial(params)
    return study


def make_sampler(seed: int) -> TPESampler:
    """Return multivariate TPE (Bergstra et al. 2011; Falkner et al. 2018), random for the first trials."""
    return TPESampler(seed=seed, multivariate=True, n_startup_trials=STARTUP, constant_liar=True)
