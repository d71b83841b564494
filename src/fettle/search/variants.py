"""A trial without one lever at a time: what an ablation makes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from fettle.search.forms import Form
from fettle.search.shapes import Shape
from fettle.search.space import Space
from fettle.search.whole import Standing

FOUND = "found"  # the first row: nothing is left out
PLENTY = 100.0  # of the whole network's latency: every channel stays


@dataclass(frozen=True)
class Variant:
    """The trial without one lever.

    Attributes:
        lever: Which one; :data:`FOUND` for none.
        instead: What is done in its place, in words.
        shape: What is asked for.
        form: In which it is scored and timed.
        taught: Whether the whole network teaches it.
        fitted: Whether its layers are fitted to those of the whole network before it is trained.
        mixed: Whether layers may stay in float.
        again: Whether it is the network of :data:`FOUND`, which is not trained once more.
    """

    lever: str
    instead: str
    shape: Shape
    form: Form
    taught: bool
    mixed: bool
    fitted: bool = True
    again: bool = False


def variants(shape: Shape, standing: Standing, space: Space, *, taught: bool) -> Iterator[Variant]:
    """Yield the trial as it was found, then without each lever that it used.

    Args:
        shape: Of the trial.
        standing: Its form, and whether layers stayed in float.
        space: Of the levers that there are for its network.
        taught: Whether the whole network taught it.
    """
    found = Variant(FOUND, "as it was found", shape, standing.form, taught, mixed=bool(standing.kept))
    yield found
    if shape.input_size != space.sizes[0]:
        yield replace(found, lever="size", instead="the whole image", shape=replace(shape, input_size=space.sizes[0]))
    if shape.skipped:
        yield replace(found, lever="depth", instead="all blocks", shape=replace(shape, skipped=0))
    if space.widths:
        yield from _of_widths(found, space)
    if space.widths or shape.skipped or shape.input_size != space.sizes[0]:
        yield replace(found, lever="reconstruct", instead="layers as they were left", fitted=False)
    if taught:
        yield replace(found, lever="distil", instead="without the teacher", taught=False)
    yield from _of_form(found)


def _of_widths(found: Variant, space: Space) -> Iterator[Variant]:
    shape = found.shape
    # By the clock nothing goes before time is short; an even share is rounded to steps, and takes some of every layer.
    whole = replace(shape, share=PLENTY, spread="clock")
    yield replace(found, lever="prune", instead="all channels", shape=whole)
    if shape.width_step > 1:
        yield replace(found, lever="align", instead="widths as they come", shape=replace(shape, width_step=1))
    for other in space.importances:
        if other != shape.importance:
            ranked = replace(shape, importance=other)  # type: ignore[arg-type]
            yield replace(found, lever="importance", instead=f"ranked by {other}", shape=ranked)


def _of_form(found: Variant) -> Iterator[Variant]:
    """The same network in other forms."""
    again = replace(found, mixed=False, again=True)
    if found.form.precision != "float32":
        yield replace(again, lever="quantize", instead="in float32", form=replace(found.form, precision="float32"))
    if found.mixed:
        yield replace(again, lever="mixed precision", instead=f"all layers in {found.form.precision}")
