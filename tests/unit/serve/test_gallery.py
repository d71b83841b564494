"""A gallery on disk, and who is found in it."""

from pathlib import Path

import numpy as np
import pytest

from fettle.errors import ArtifactError
from fettle.serve.gallery import Gallery


def axis(index: int) -> np.ndarray:
    return np.eye(4, dtype=np.float32)[index]


@pytest.fixture
def gallery() -> Gallery:
    return Gallery(("ada", "ada", "Zoë"), np.stack([axis(0), axis(1), axis(2)]), "d1")


def test_the_most_similar_is_found_and_known_from_the_threshold_on(gallery: Gallery) -> None:
    query = np.float32([0.1, 0.8, 0.6, 0])
    match = gallery.find(query / np.linalg.norm(query), similarity=0.7)
    assert (match.name, match.known) == ("ada", True)
    assert match.similarity == pytest.approx(0.8 / np.sqrt(1.01), abs=1e-4)
    assert not gallery.find(axis(3), similarity=0.1).known


def test_it_comes_back_as_it_was_saved(gallery: Gallery, tmp_path: Path) -> None:
    gallery.save(tmp_path / "g.npz")
    again = Gallery.load(tmp_path / "g.npz")
    assert (again.names, again.model) == (gallery.names, gallery.model)
    np.testing.assert_array_equal(again.embeddings, gallery.embeddings)
    assert [file.name for file in tmp_path.iterdir()] == ["g.npz"]


def test_a_person_is_replaced_and_another_added(gallery: Gallery) -> None:
    made = gallery.with_people(["ada", "eve"], np.stack([axis(3), axis(1)]))
    assert made.names == ("Zoë", "ada", "eve")
    np.testing.assert_array_equal(made.embeddings, np.stack([axis(2), axis(3), axis(1)]))


@pytest.mark.parametrize("content", [None, b"no gallery", b""])
def test_what_is_none_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "g.npz"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ArtifactError, match="fettle enroll"):
        Gallery.load(file)
