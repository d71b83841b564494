"""The data section for images with boxes."""

from fettle.data import open_dataset
from fettle.report.sections import data
from fettle.report.sources import open_sources


def test_boxes_are_told_and_drawn(tmp_path, make_detection_dataset):
    path = make_detection_dataset(tmp_path / "made", count=40, size=48)
    dataset = open_dataset(path)
    context = data.build(open_sources([path], {}))
    assert context is not None
    assert len(context["plots"]) == 4
    assert all(str(plot).startswith("<svg") for plot in context["plots"])
    assert context["background"] == 8
    assert context["totals"] == {split: sum(counts.values()) for split, counts in dataset.counts.items()}
    assert sum(context["images"].values()) == 40
