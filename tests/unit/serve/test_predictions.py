"""From the arrays of an answer to what a person reads."""

import json

import numpy as np
import pytest
from PIL import Image

from fettle.data.resize import Placement
from fettle.errors import ServeError, StorageError
from fettle.serve.drawing import draw, draw_files
from fettle.serve.predictions import READERS, Detections, Prediction, Source, find_reader

SOURCE = Source("m", "3", ("crack", "über\nRiss"))


def detections(placement: Placement, count: int = 1) -> Prediction:
    outputs = {
        "boxes": np.array([[16, 16, 48, 32], [0, 0, 0, 0]], np.float32),
        "scores": np.array([0.75, 0], np.float32),
        "labels": np.array([1, -1], np.int32),
        "count": np.array([count], np.int32),
    }
    return READERS["detect"](outputs, placement, SOURCE)


def test_boxes_are_in_the_photographs_pixels() -> None:
    found = detections(Placement.of(640, 128, 64))
    assert isinstance(found, Detections)
    np.testing.assert_allclose(found.boxes, [[160, 32, 480, 64]])
    assert found.labels == ("über\nRiss",)
    padded = detections(Placement.of(640, 320, 64, "pad"))  # 16 rows of black above and below
    np.testing.assert_allclose(padded.boxes, [[160, 0, 480, 160]])


def test_detections_as_text_and_json() -> None:
    found = detections(Placement.of(64, 64, 64))
    assert found.rows == (("über\nRiss", "0.75", "16 16 48 32"),)
    assert found.words == "über\nRiss (0.75) at 16 16 48 32"
    told = json.loads(json.dumps(found.to_json()))
    assert told == {
        "detections": [{"label": "über\nRiss", "score": 0.75, "box": [16, 16, 48, 32]}], "model": "m", "version": "3",
    }  # fmt: skip


def test_nothing_found_is_an_answer_too() -> None:
    found = detections(Placement.of(64, 64, 64), count=0)
    assert (found.rows, found.words, found.marks) == ((("-", "-", "-"),), "nothing", ())
    assert found.to_json()["detections"] == []


def test_a_classification_as_text_and_json() -> None:
    outputs = {"probabilities": np.array([0.25, 0.75], np.float32)}
    found = READERS["classify"](outputs, Placement.of(64, 64, 64), SOURCE)
    assert found.rows == (("über\nRiss", "0.7500"),)
    assert json.loads(json.dumps(found.to_json()))["probabilities"] == {"crack": 0.25, "über\nRiss": 0.75}


def test_an_unknown_task_is_told() -> None:
    with pytest.raises(ServeError, match=r"`fettle\.task` is absent, not classify or detect"):
        find_reader("", "m")


def test_boxes_are_drawn_where_they_are(tmp_path) -> None:
    photo = np.zeros((100, 200, 3), np.uint8)
    paths = [tmp_path / "a" / "part.png", tmp_path / "b" / "part.png"]
    for path in paths:
        path.parent.mkdir()
        Image.fromarray(photo).save(path)
    found = detections(Placement.of(200, 100, 64))
    drawn = draw(photo, found.marks)
    assert not photo.any()
    assert drawn[48, 149].any()  # the lower right corner, right and bottom excluded
    assert drawn[49, 149].any()
    assert not drawn[50, 149].any()
    assert not drawn[49, 150].any()
    written = draw_files(paths, [found, found], tmp_path / "out")
    assert [path.name for path in written] == ["part.jpg", "part-2.jpg"]
    assert Image.open(written[1]).size == (200, 100)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        draw_files(paths, [found, found], tmp_path / "file")
