"""What is known before the first trial: the whole network in its forms, the machine, the blocks, the budget."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fettle.card import digest_json
from fettle.errors import OptimizeError
from fettle.evaluate import words
from fettle.evaluate.score import Scored
from fettle.hardware import passport
from fettle.models.input_size import size_grid
from fettle.optimize.channels import output_layers
from fettle.optimize.pruning import Cost, measure
from fettle.runtimes.profile import PROFILERS
from fettle.search.blocks import rank_blocks
from fettle.search.budget import Budget, plan_budget
from fettle.search.forms import Form, possible_forms
from fettle.search.judge import Judge
from fettle.search.machine import know_machine
from fettle.search.shapes import Shaper
from fettle.search.space import Space, input_sizes
from fettle.search.subject import Subject
from fettle.search.table import table_file
from fettle.search.track import Track
from fettle.search.trials import WHOLE, Notebook
from fettle.search.whole import Standing, reference_score, stand
from fettle.spec import SearchConfig

FORMS = 2  # of which widths go by one, and the other is of another runtime
NEAR = 0.02  # below the floor: what a form may cost the whole network, and not a trial that is trained again
BLOCKS = 0.5  # share of the blocks that may be skipped
LAYOUT = 7  # of what is noted: a search of another version is another one
T = TypeVar("T")
log = logging.getLogger("fettle")


@dataclass(frozen=True)
class Ground:
    """What trials start from.

    Attributes:
        whole: The network in its forms, the fastest first.
        forms: That trials are timed and made in: :func:`best_forms`. Widths go by the table of the first.
        judge: Says what is good enough.
        fixed: Layers whose widths stay: that give the answer, or whose channels cannot go alone.
        blocks: That may be skipped -> how much the output changes then; those that are missed least first.
        budget: Of time.
        space: Of levers.
        shaper: Makes smaller networks.
        table: File of the latency table of ``form`` on this machine.
        overhead: Seconds that it takes to export a network, bring it into one form and measure it there.
        cost: Of the whole network.
    """

    whole: tuple[Standing, ...]
    forms: tuple[Form, ...]
    judge: Judge
    fixed: tuple[str, ...]
    blocks: dict[str, float]
    budget: Budget
    space: Space
    shaper: Shaper
    table: Path
    overhead: float
    cost: Cost

    @property
    def form(self) -> Form:
        """Of the latency table."""
        return self.forms[0]

    @property
    def finish(self) -> float:
        """Seconds that it takes to make a network in all the forms that trials are made for."""
        return len(self.forms) * self.overhead

    @property
    def ms(self) -> float:
        """Latency of the whole network in the form of the latency table."""
        return next(standing.ms for standing in self.whole if standing.form == self.form)


def survey(
    subject: Subject, config: SearchConfig, *, runtimes: Sequence[str], notebook: Notebook, tables: Path, track: Track
) -> Ground:
    """Find out what trials start from, as far as it is not noted yet.

    Raises:
        OptimizeError: If the folder holds the search of another network or machine, or no form is possible.
    """
    _check_same(identity(subject, config, runtimes), notebook)
    known = _Known(notebook)
    model, architecture = subject.model, subject.architecture
    possible = possible_forms(runtimes, config.precisions, passport())
    stood = known.get(WHOLE, lambda: _stand(subject, config, possible, notebook.exports(WHOLE), track))
    whole = tuple(map(Standing.from_json, stood))
    overhead = notebook.spent().get(WHOLE, 0.0) / len(whole)
    reference, max_drop = reference_score({standing.form: standing.score for standing in whole}), config.max_drop or 0.0
    forms = best_forms(whole, reference - max_drop)
    form = forms[0]
    plain = Scored(*known.get("plain", lambda: track.score(model, architecture, subject.val, form.runtime)))
    judge = Judge(
        reference=reference,
        score=plain.score,
        loss=plain.loss,
        max_drop=max_drop,
    )
    depth = "depth" in config.levers
    keep = output_layers(model, subject.normalized[:1])
    blocks = known.get("blocks", lambda: rank_blocks(model, subject.normalized, keep=keep) if depth else {})
    budget = plan_budget(60 * config.minutes, epoch=subject.epoch_seconds, most=subject.train.epochs)
    shaper = Shaper(model, architecture, blocks=tuple(blocks), batches=subject.batches, images=subject.examples)
    space = Space(
        sizes=_sizes(subject, config),
        blocks=int(len(blocks) * BLOCKS),
        widths="width" in config.levers,
        importances=("taylor", "group_norm") if subject.batches else ("group_norm",),
        width_steps=tuple(config.width_steps),
    )
    table = table_file(tables, form, fingerprint=passport().fingerprint)
    known.get("machine", lambda: len(know_machine(track, shaper, form, table, sizes=space.sizes, seed=config.seed)))
    log.info(
        "the whole network: %s; trials are made for %s, trained for %d epochs first, %d in full",
        ", ".join(f"{each.form} {each.ms:.2f} ms {words.percent(each.score)}" for each in whole),
        " and ".join(map(str, forms)),
        budget.brief,
        budget.full,
    )
    fixed = known.get("fixed", lambda: list(shaper.fixed()) if space.widths else [])
    return Ground(
        whole=whole, forms=forms, judge=judge, fixed=tuple(fixed), blocks=blocks, budget=budget, space=space,
        shaper=shaper, table=table, overhead=overhead, cost=measure(model, shaper.example),
    )  # fmt: skip


class _Known:
    """What is found out once, and noted with what it took."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook

    def get(self, name: str, find: Callable[[], T]) -> T:
        noted = self.notebook.noted(name)
        if noted is None:
            started = time.monotonic()
            noted = find()
            self.notebook.note(name, noted)
            self.notebook.spend(name, time.monotonic() - started)
        return noted  # type: ignore[no-any-return]


def _stand(
    subject: Subject, config: SearchConfig, forms: Sequence[Form], folder: Path, track: Track
) -> list[dict[str, Any]]:
    exported = track.export(subject.model, subject.architecture)
    standings = stand(track, exported, forms, subject=subject, folder=folder, max_drop=config.max_drop or 0.0)
    return [standing.to_json() for standing in standings]


def best_forms(whole: Sequence[Standing], floor: float) -> tuple[Form, ...]:
    """Return the fastest form that a profiler knows, the fastest of another runtime, and the fastest in float of each.

    One that is good enough comes before one that is not. Which form is the fastest depends on the size of a network:
    OpenVINO in INT8 for a whole ResNet-18, ONNX Runtime for a fifth of it, and for a fiftieth of it float32, for then
    it takes as long to round activations as to multiply them.
    """

    def fastest(standings: Iterable[Standing], least: float) -> list[Form]:
        return [each.form for each in sorted(standings, key=lambda each: (each.score < least, each.ms))]

    first = next(form for form in fastest(whole, floor) if form.runtime in PROFILERS)
    others = fastest((each for each in whole if each.form != first), floor - NEAR)
    two = (first, *sorted(others, key=lambda form: form.runtime == first.runtime))[:FORMS]
    in_float = {form.runtime: form for form in (*reversed(others), *two) if form.precision != "int8"}
    return tuple(dict.fromkeys((*two, *in_float.values())))


def _sizes(subject: Subject, config: SearchConfig) -> tuple[int, ...]:
    size = subject.architecture.image_size
    if "size" not in config.levers or subject.architecture.input_size:
        return (size,)
    return input_sizes(size, size_grid(subject.model))


def identity(subject: Subject, config: SearchConfig, runtimes: Sequence[str]) -> dict[str, str]:
    """Return what makes a search another one; more time, more exports in the end, or to tell more of it, does not."""
    settings = {**config.to_json(), "minutes": None, "trials": None, "candidates": None, "ablation": None}
    return {
        "model": subject.digest,
        "dataset": subject.data.artifact.card.digest,
        "machine": passport().fingerprint,
        "settings": digest_json([LAYOUT, settings, list(runtimes), subject.train.to_json()]),
    }


def _check_same(mine: Mapping[str, str], notebook: Notebook) -> None:
    noted = notebook.noted("search")
    if noted is None:
        notebook.note("search", mine)
        return
    other = ", ".join(name for name, value in mine.items() if noted.get(name) != value)
    if other:
        raise OptimizeError(
            f"{notebook.folder} holds a search with another {other}: its figures are not of this one. Take another "
            "folder, or remove it."
        )
