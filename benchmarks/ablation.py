"""What each lever of a search brought: its best trial made again without one lever at a time.

    python benchmarks/ablation.py                                     # the run of `make bench-optimize`, or one named
    python benchmarks/ablation.py runs/optimize-neu-resnet50/latest

Without a lever the others have to reach the same latency, as far as they can. Each network is measured in the form
that was searched for, interleaved with the whole one, and trained for the epochs of a first training: scores (on val)
compare with one another, not with those of full trainings.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fettle.errors import OptimizeError
from fettle.hardware import passport
from fettle.search.forms import Form
from fettle.search.shapes import Shape, Shaper
from fettle.search.subject import Subject
from fettle.search.table import Table, read_table, table_file
from fettle.search.track import Track, race
from fettle.spec import load_spec
from fettle.steps.search import TABLES, open_subject


@dataclass(frozen=True)
class Variant:
    """One row: how many times as fast as the whole network, and its score after a first training."""

    name: str
    shape: Shape
    taught: bool = True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/optimize-neu-resnet18/latest"))
    options = parser.parse_args()
    if not options.run.is_dir():
        parser.exit(0, f"{options.run} is not there: `make bench-optimize` makes it.\n")
    spec = load_spec(options.run / "spec.json")
    told = json.loads((next(options.run.glob("search-*")) / "search.json").read_text())
    subject = open_subject(options.run / "model-baseline", next(options.run.glob("dataset-*")), spec.train)
    best = next(each for each in told["front"] if each["owner"] != "whole" and each["score"] >= told["floor"])
    trial = next(trial for trial in told["trials"] if str(trial["number"]) == best["owner"])
    form = next(form for form in forms() if str(form) == told["form"])
    table = read_table(table_file(Path(spec.runs) / "work" / TABLES, form, fingerprint=passport().fingerprint))
    shaper = Shaper(subject.model, subject.architecture, blocks=tuple(told["blocks"]), batches=subject.batches)
    print(f"{spec.name}, trial {trial['number']}, {form}, {told['epochs'][0]} epochs")
    print(f"{'':28} {'x whole':>8} {'params':>7} {'score':>7}")
    shape = Shape.from_json(trial["shape"])
    for variant in variants(shape, subject.architecture.image_size):
        print(row(variant, subject, shaper, table, form, epochs=told["epochs"][0]), flush=True)


def forms() -> Iterator[Form]:
    for runtime in ("onnxruntime", "openvino"):
        for precision in ("int8", "float32", "bf16", "fp16"):
            yield Form(runtime, precision)


def variants(shape: Shape, image_size: int) -> Iterator[Variant]:
    yield Variant("as it was found", shape)
    if shape.input_size != image_size:
        yield Variant("the whole image", replace(shape, input_size=image_size))
    if shape.skipped:
        yield Variant("all blocks", replace(shape, skipped=0))
    yield Variant("all channels", replace(shape, share=100.0))
    yield Variant("widths as they come", replace(shape, width_step=1))
    other = "group_norm" if shape.importance == "taylor" else "taylor"
    yield Variant(f"ranked by {other}", replace(shape, importance=other))
    yield Variant("without the teacher", shape, taught=False)


def row(variant: Variant, subject: Subject, shaper: Shaper, table: Table, form: Form, *, epochs: int) -> str:
    try:
        shaped = shaper.shape(variant.shape, table)
    except OptimizeError as error:
        return f"{variant.name:28} {error}"
    with Track(subject.calibration) as track, tempfile.TemporaryDirectory() as folder:
        whole = track.convert(track.export(subject.model, subject.architecture), form)
        small = track.convert(track.export(shaped.model, shaped.architecture), form)
        with track.start("whole", whole, form.runtime) as before, track.start("small", small, form.runtime) as after:
            times = race(before, after)
        learner = subject if variant.taught else replace(subject, distil=None)
        _, rung = learner.fit(
            shaped.model, shaped.architecture, level=1, epochs=epochs, lr=variant.shape.lr, folder=Path(folder) / "fit"
        )
    whole_params = sum(value.numel() for value in subject.model.parameters())
    return f"{variant.name:28} {times.estimate:8.2f} {shaped.cost.params / whole_params:7.0%} {rung.score:7.1%}"


if __name__ == "__main__":
    main()
