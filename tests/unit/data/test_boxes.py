import numpy as np
import pytest

from fettle.data import open_dataset
from fettle.data.boxes import Boxes, starts_of
from fettle.spec import SPLITS


def some(counts: list[int], *, seed: int = 0) -> Boxes:
    generator = np.random.default_rng(seed)
    total = sum(counts)
    corners = generator.uniform(0, 20, (total, 2))
    xyxy = np.hstack([corners, corners + generator.uniform(1, 10, (total, 2))]).astype(np.float32)
    areas = generator.uniform(1, 100, total).astype(np.float32)
    return Boxes(xyxy, generator.integers(0, 3, total), starts_of(np.array(counts)), areas)


def test_each_image_has_its_rows():
    boxes = some([2, 0, 3])
    assert len(boxes) == 3
    assert [len(boxes.of(image)[0]) for image in range(3)] == [2, 0, 3]
    np.testing.assert_array_equal(boxes.of(2)[0], boxes.xyxy[2:])
    np.testing.assert_array_equal(boxes.of(0)[1], boxes.labels[:2])


@pytest.mark.parametrize("images", [[2, 0], [0, 0, 2, 1], [], slice(1, 3), [1]])
def test_take_gives_those_images_in_that_order(images):
    boxes = some([2, 0, 3])
    taken = boxes.take(images if isinstance(images, slice) else np.array(images, np.int64))
    wanted = list(range(3))[images] if isinstance(images, slice) else images
    assert len(taken) == len(wanted)
    for place, image in enumerate(wanted):
        for found, expected in zip(taken.of(place), boxes.of(image), strict=True):
            np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        taken.areas, np.concatenate([boxes.areas[boxes.starts[i] : boxes.starts[i + 1]] for i in wanted] or [[]])
    )


def test_join_is_the_inverse_of_take():
    boxes = some([2, 0, 3, 1])
    joined = Boxes.join([boxes.take(slice(0, 2)), boxes.take(slice(2, 4))])
    np.testing.assert_array_equal(joined.xyxy, boxes.xyxy)
    np.testing.assert_array_equal(joined.starts, boxes.starts)


def test_files_are_read_as_written_and_equal_to_the_byte(tmp_path):
    boxes = some([2, 0, 3])
    contents = set()
    for name in "ab":
        (tmp_path / name).mkdir()
        boxes.save(tmp_path / name)
        contents.add((tmp_path / name / "boxes.npz").read_bytes())
    assert len(contents) == 1
    found = Boxes.load(tmp_path / "a", images=3)
    np.testing.assert_array_equal(found.xyxy, boxes.xyxy)
    np.testing.assert_array_equal(found.areas, boxes.areas)


def test_a_table_of_other_images_is_refused(tmp_path):
    some([2, 0, 3]).save(tmp_path)
    with pytest.raises(ValueError, match="3 images, there are 4"):
        Boxes.load(tmp_path, images=4)


def test_a_folder_without_a_table_has_no_boxes(tmp_path):
    boxes = Boxes.load(tmp_path, images=4)
    assert len(boxes) == 4
    assert boxes.xyxy.shape == (0, 4)


def test_a_detection_dataset_opens_with_the_boxes_of_each_split(tmp_path, make_detection_dataset):
    dataset = open_dataset(make_detection_dataset(tmp_path / "made", count=60, size=48))
    assert dataset.task == "detect"
    assert sum(len(dataset.subset(split)) for split in SPLITS) == 60
    for split in SPLITS:
        subset = dataset.subset(split)
        assert len(subset.boxes) == len(subset.images) > 0
        counted = np.bincount(subset.boxes.labels, minlength=3).tolist()
        assert dict(zip(dataset.classes, counted, strict=True)) == dataset.counts[split]
    xyxy, labels = dataset.subset("test").boxes.of(0)
    left, top, right, bottom = xyxy[0].astype(int)
    colour = dataset.subset("test").images[0, top:bottom, left:right].reshape(-1, 3).mean(axis=0)
    assert ("red", "green", "blue")[colour.argmax()] == dataset.classes[labels[0]]
