"""Get to know the machine: profile some narrow and small variants of a network until the table can speak of others."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fettle.hardware import passport
from fettle.runtimes.profile import profile
from fettle.search.forms import Form
from fettle.search.layers import read_layers
from fettle.search.shapes import Shaper
from fettle.search.table import Sample, Table, add_sample, read_table, sample_of
from fettle.search.track import Track, steady

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
    if table.knows(read_layers(model, shaper.example).values()) and len(table) >= VARIANTS:
        return table
    rng, roots = np.random.default_rng(seed), shaper.roots()
    for number in range(VARIANTS):
        if number:
            size = sizes[number % len(sizes)]
            least = rng.uniform(0.0, 0.6)
            shares = {root: float(rng.uniform(least, 0.8)) for root in roots}
            model, architecture = shaper.narrow(size, shares)
        exported = track.convert(track.export(model, architecture), form)
        times = profile(
            form.runtime,
            exported.file,
            track.images[:1],
            threads=passport().cores,
            options=exported.runtime_options(form.runtime),
        )
        with track.start("profiled", exported, form.runtime) as contestant:
            total = steady(contestant) * 1e6
        sample: Sample = sample_of(read_layers(model, shaper.example), times, total)
        add_sample(file, sample)
        log.info("%s: variant %d of %d takes %.2f ms", form, number + 1, VARIANTS, total / 1e3)
    return read_table(file)
