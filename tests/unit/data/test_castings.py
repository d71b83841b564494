import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from fettle.data.castings import Casting, make_casting, make_castings
from fettle.data.castings.defects import DEFECTS
from fettle.data.resize import resize
from fettle.errors import DataError


@pytest.fixture(scope="module")
def castings() -> list[Casting]:
    return [make_casting(index, size=64) for index in range(400)]


def test_image_depends_on_seed_and_number_alone():
    first = make_casting(7)
    make_casting(8)
    np.random.seed(1)
    again = make_casting(7)
    np.testing.assert_array_equal(first.image, again.image)
    assert first.boxes == again.boxes
    assert (make_casting(7, seed=1).image != first.image).any()


def test_two_of_five_are_defective(castings):
    assert Counter(casting.label for casting in castings) == {"ok": 240, "defective": 160}


def test_every_defect_occurs_and_lies_on_the_picture(castings):
    boxes = [box for casting in castings for box in casting.boxes]
    assert {box.kind for box in boxes} == set(DEFECTS)
    for box in boxes:
        assert 0 <= box.left < box.right <= 64
        assert 0 <= box.top < box.bottom <= 64


def test_box_is_where_the_picture_differs_from_one_without_the_defect(monkeypatch):
    """The defect's random numbers are drawn, but its marks are undone: outside the box nothing may change much."""
    for index in (1, 3, 6, 8, 11, 13):
        whole = make_casting(index)
        with monkeypatch.context() as patch:
            patch.setattr("fettle.data.castings.DEFECTS", {kind: undone(draw) for kind, draw in DEFECTS.items()})
            clean = make_casting(index)
        changed = np.abs(whole.image.astype(int) - clean.image).max(2) > 25
        inside = np.zeros_like(changed)
        for box in whole.boxes:
            inside[max(box.top - 4, 0) : box.bottom + 4, max(box.left - 4, 0) : box.right + 4] = True
        assert changed[inside].any()
        assert changed[inside].sum() > 0.9 * changed.sum()


def undone(draw):
    def draw_and_undo(scene, rng):
        height, albedo = scene.height.copy(), scene.albedo.copy()
        found = draw(scene, rng)
        scene.height[:], scene.albedo[:] = height, albedo
        return found

    return draw_and_undo


def test_nearest_mean_on_pixels_fails(castings):
    """The easiest classifier of all must not do: the label is in details, not in the brightness of some place."""
    pixels = np.stack([resize(casting.image, 48) for casting in castings]).reshape(len(castings), -1).astype(np.float32)
    labels = np.array([casting.label == "defective" for casting in castings])
    train, test = slice(0, 280), slice(280, None)
    means = np.stack([pixels[train][labels[train] == label].mean(0) for label in (False, True)])
    nearest = np.square(pixels[test, None] - means).sum(2).argmin(1)
    assert (nearest == labels[test]).mean() < 0.75


def test_folder_is_an_imagefolder_with_boxes(tmp_path):
    make_castings(tmp_path / "castings", count=10, size=48, seed=3)
    about = json.loads((tmp_path / "castings" / "boxes.json").read_text())
    names = {file.relative_to(tmp_path / "castings").as_posix() for file in tmp_path.glob("castings/*/*.jpg")}
    assert set(about["boxes"]) == names
    assert Counter(name.split("/")[0] for name in names) == {"ok": 6, "defective": 4}
    for name in names:
        assert Image.open(tmp_path / "castings" / name).size == (48, 48)
        assert bool(about["boxes"][name]) == name.startswith("defective/")


def test_same_castings_are_not_made_twice_and_others_are_refused(tmp_path):
    folder = tmp_path / "castings"
    make_castings(folder, count=5, size=32)
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*")}
    make_castings(folder, count=5, size=32)
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*")} == before
    with pytest.raises(DataError, match="holds other images"):
        make_castings(folder, count=6, size=32)


def test_folder_of_other_images_is_refused(make_folder):
    with pytest.raises(DataError, match="holds other images"):
        make_castings(make_folder({"ok": 2}), count=5)


def test_nothing_is_left_when_making_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "fettle.data.castings._write_images", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(DataError, match="disk full"):
        make_castings(tmp_path / "castings", count=5)
    assert list(tmp_path.iterdir()) == []
