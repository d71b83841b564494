"""How long layers take in one form on one machine: what was measured in whole networks, and what follows from it.

A layer's time in a network is not its time alone: what comes before has left its input in a cache, and what comes after
may be fused into it. So whole networks are profiled, of different widths and image sizes, and the time of any layer is
that of a linear model of its work, one for each kind of layer (as a roofline: Williams et al. 2009).
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from fettle.runtimes.profile import Times
from fettle.search.forms import Form
from fettle.search.layers import Layer

FEW = 6  # samples of a kind below which those of all kinds speak for it
log = logging.getLogger("fettle")


@dataclass(frozen=True)
class Sample:
    """A network that was profiled.

    Attributes:
        layers: Its layers, each with its microseconds.
        total: Microseconds of a whole call, without a profiler.
    """

    layers: tuple[tuple[Layer, float], ...]
    total: float

    def to_json(self) -> dict[str, object]:
        return {"total": self.total, "layers": [[layer.to_json(), time] for layer, time in self.layers]}


@dataclass(frozen=True)
class Table:
    """The samples of one form on one machine, and what they say of other networks."""

    samples: tuple[Sample, ...] = field(default_factory=tuple)

    def __len__(self) -> int:
        return len(self.samples)

    def knows(self, layers: Iterable[Layer]) -> bool:
        """Return whether every kind of these layers was seen often enough."""
        return all(len(self._by_kind[layer.kind]) >= FEW for layer in layers)

    def layer(self, layer: Layer) -> float:
        """Return the microseconds that are expected of a layer and what hangs on it, such as an addition."""
        own, given, each, _ = self._whole
        return own * self._alone(layer) + given * layer.given + each

    def network(self, layers: Iterable[Layer]) -> float:
        """Return the microseconds that are expected of a call of a network with these layers."""
        return self._whole[-1] + sum(map(self.layer, layers))

    def _alone(self, layer: Layer) -> float:
        """Return what the profiler would say of a layer."""
        return sum(share * work for share, work in zip(self._model(layer.kind), layer.work, strict=True))

    @cached_property
    def _by_kind(self) -> Mapping[str, list[tuple[Layer, float]]]:
        found: defaultdict[str, list[tuple[Layer, float]]] = defaultdict(list)
        for sample in self.samples:
            for layer, time in sample.layers:
                found[layer.kind].append((layer, time))
        return found

    @cached_property
    def _models(self) -> dict[str, tuple[float, ...]]:
        return {}

    def _model(self, kind: str) -> tuple[float, ...]:
        if kind not in self._models:
            seen = self._by_kind[kind]
            if len(seen) < FEW:
                seen = [pair for pairs in self._by_kind.values() for pair in pairs]
            self._models[kind] = _fit([layer.work for layer, _ in seen], [time for _, time in seen])
        return self._models[kind]

    @cached_property
    def _whole(self) -> tuple[float, ...]:
        """What a call takes: a share of what the profiler says of its layers, which its own clock has made longer;
        something for each activation that a layer gives, and for each layer; a constant."""
        layers = [[layer for layer, _ in sample.layers] for sample in self.samples]
        work = [(sum(map(self._alone, each)), sum(layer.given for layer in each), len(each), 1.0) for each in layers]
        return _fit(work, [sample.total for sample in self.samples])


def _fit(work: Sequence[tuple[float, ...]], times: Sequence[float]) -> tuple[float, ...]:
    """Return the coefficients, none of them negative, of the least squared *relative* error."""
    measured = np.array(times)
    found, _ = nnls(np.array(work) / measured[:, None], np.ones(len(measured)))
    return tuple(found.tolist())


def sample_of(layers: Mapping[str, Layer], times: Times, total: float) -> Sample:
    """Return what a profile says of the layers of a network.

    A node belongs to the layer that its name begins with, such as ``layer1.0.conv1/Conv``. A layer that the runtime has
    under another name is left out, and its time counted as the rest.

    Args:
        layers: By their names in the network.
        times: Microseconds by node.
        total: Microseconds of a whole call.
    """
    spent: defaultdict[str, float] = defaultdict(float)
    for node, time in times.items():
        spent[node.partition("/")[0]] += time
    return Sample(tuple((layer, spent[name]) for name, layer in layers.items() if spent.get(name)), total)


def read_table(file: Path) -> Table:
    """Read what :func:`add_sample` wrote; a line that was cut off is passed over."""
    try:
        lines = file.read_text().splitlines()
    except FileNotFoundError:
        return Table()
    samples = []
    for line in lines:
        try:
            raw = json.loads(line)
            layers = tuple((Layer(**layer), float(time)) for layer, time in raw["layers"])
            samples.append(Sample(layers, float(raw["total"])))
        except (ValueError, TypeError, KeyError):
            log.warning("%s has a line that cannot be read: it is passed over.", file)
    return Table(tuple(samples))


def add_sample(file: Path, sample: Sample) -> None:
    """Append a line, in one write."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as stream:
        stream.write(json.dumps(sample.to_json()) + "\n")


def table_file(folder: Path, form: Form, *, fingerprint: str) -> Path:
    """Return where the table of a form on a machine is kept: another machine finds another file."""
    return folder / fingerprint / f"{form}.jsonl"
