"""Get to know the machine: profile some narrow and small variants of a network until the table can speak of others."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from fettle.evaluate.contestants import EngineContestant
from fettle.export import Export
from fettle.hardware import passport
from fettle.runtimes.profile import profile
from fettle.search.forms import Form
from fettle.search.layers import Layer, read_layers
from fettle.search.shapes import Shaper
from fettle.search.table import Sample, Table, add_sample, read_table, sample_of
from fettle.search.track import Track, steady
from fettle.search.widths import LEAST

VARIANTS = 7  # networks that are profiled where a kind of layer is not known yet
log = logging.getLogger("fettle")


def know_machine(track: Track, shaper: Shaper, form: Form, file: Path, *, sizes: Sequence[int], seed: int = 0) -> Table:
    """Return the table of ``form``, with enough samples for networks like that of ``shaper``.

    Args:
        track: Where networks are exported and timed.
        shaper: Makes variants of the network.
        form: Runtime and precision.
        file: Where the table is kept; other networks' samples in it serve too.
        sizes: Sides of the images that networks will look at.
        seed: Of the variants' widths.
    """
    table = read_table(file)
    model, architecture = shaper.model, shaper.architecture
    if table.knows(shaper.layers.values()) and len(table) >= VARIANTS:
        return table
    rng, roots = np.random.default_rng(seed), shaper.roots()
    for number in range(VARIANTS):
        if number:
            size = sizes[number % len(sizes)]
            least = rng.uniform(0.0, 0.75)
            shares = {root: float(rng.uniform(least, 1 - LEAST)) for root in roots}
            model, architecture = shaper.narrow(size, shares)
        exported = track.convert(track.export(model, architecture), form)
        with track.start("profiled", exported, form.runtime) as contestant:
            sample = learn(track, exported, contestant, form, file, layers=read_layers(model, shaper.example))
        log.info("%s: variant %d of %d takes %.2f ms", form, number + 1, VARIANTS, sample.total / 1e3)
    return read_table(file)


def learn(
    track: Track,
    exported: Export,
    contestant: EngineContestant,
    form: Form,
    file: Path,
    *,
    layers: Mapping[str, Layer],
) -> Sample:
    """Profile an export, and add what its layers take to the table in ``file``.

    Args:
        track: Whose image it is asked about.
        exported: In ``form``.
        contestant: The same, ready to be timed.
        form: Runtime and precision.
        file: Of the table.
        layers: Of the network, by name.
    """
    options = exported.runtime_options(form.runtime)
    times = profile(form.runtime, exported.file, track.images[:1], threads=passport().cores, options=options)
    sample = sample_of(layers, times, steady(contestant) * 1e6)
    add_sample(file, sample)
    return sample
