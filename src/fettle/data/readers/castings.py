"""Reader of the boxes that lie beside castings."""

from pathlib import Path

from fettle.data.castings import BOXES, read_about
from fettle.data.castings.defects import DEFECTS
from fettle.data.listing import Item, Listing, ObjectTable
from fettle.errors import DataError
from fettle.spec import DatasetConfig


def read_castings(source: Path, config: DatasetConfig) -> Listing:
    """The defects of castings: a class is a kind of defect, sound castings are background images."""
    del config
    about, classes = read_about(source), tuple(sorted(DEFECTS))
    try:
        size, table, items = int(about["size"]), ObjectTable(), list[Item]()
        for path, boxes in sorted(about["boxes"].items()):
            for number, box in enumerate(boxes, 1):
                corners = [float(box[side]) for side in ("left", "top", "right", "bottom")]
                table.add(len(items), classes.index(box["kind"]), corners, number)
            items.append(Item(path, annotation=BOXES, extent=(size, size)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{source / BOXES} is not what `fettle castings` writes ({error!r}): make them again."
        ) from None
    return Listing(source, tuple(items), classes, table.objects(place="box"), files=(BOXES,))
