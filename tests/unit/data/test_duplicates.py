import itertools

import numpy as np
import pytest
from PIL import Image

from fettle.data.cache import Decoded, perceptual_hash, pixel_digest
from fettle.data.duplicates import drop_copies, look_alikes
from fettle.data.listing import Item
from fettle.errors import DataError


def image(path: str, content: str, *, label: str = "ok", split: str | None = None) -> Decoded:
    return Decoded(Item(path, label, split), 0, content, 0, 9, 9, 0.5, (), labels=(label,))


def test_one_of_equal_images_is_kept():
    kept, copies = drop_copies([image("b", "1"), image("c", "2"), image("a", "1")])
    assert [one.item.path for one in kept] == ["a", "c"]
    assert [(same.kept.item.path, [one.item.path for one in same.dropped]) for same in copies] == [("a", ["b"])]


def test_copy_in_training_gives_way_to_the_test():
    kept, _ = drop_copies([image("a", "1", split="train"), image("b", "1", split="val"), image("c", "1", split="test")])
    assert [one.item.path for one in kept] == ["c"]


def test_two_labels_of_equal_images_are_refused_with_both_names():
    with pytest.raises(DataError, match=r"'a' is 'ok' and 'z' is 'bad' \(1 such"):
        drop_copies([image("a", "1"), image("m", "1"), image("z", "1", label="bad")])


def test_digest_is_of_the_pixels_and_their_arrangement():
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert pixel_digest(pixels) == pixel_digest(np.ascontiguousarray(pixels[::-1])[::-1])
    assert pixel_digest(pixels) != pixel_digest(pixels.reshape(2, 8, 3))
    assert pixel_digest(pixels) != pixel_digest(pixels + 1)


def brute_force(hashes: list[int], distance: int) -> set[frozenset[int]]:
    groups = [{index} for index in range(len(hashes))]
    for a, b in itertools.combinations(range(len(hashes)), 2):
        if (hashes[a] ^ hashes[b]).bit_count() <= distance:
            left, right = (next(group for group in groups if index in group) for index in (a, b))
            if left is not right:
                groups.remove(right)
                left |= right
    return {frozenset(group) for group in groups if len(group) > 1}


@pytest.mark.parametrize("distance", [0, 1, 4])
def test_look_alikes_are_those_of_brute_force(distance):
    rng = np.random.default_rng(distance)
    seeds = rng.integers(0, 2**63, 40, dtype=np.uint64).tolist()
    flips = [sum(1 << int(bit) for bit in rng.choice(64, rng.integers(0, 6), replace=False)) for _ in range(600)]
    hashes = [seeds[index % 40] ^ flip for index, flip in enumerate(flips)]
    found = {frozenset(group) for group in look_alikes(hashes, distance=distance)}
    assert found == brute_force(hashes, distance)
    assert found


def test_no_images_have_no_look_alikes():
    assert look_alikes([], distance=4) == []


def test_many_equal_hashes_are_one_group_at_once():
    assert [len(group) for group in look_alikes([7] * 50_000, distance=4)] == [50_000]


def test_hash_survives_what_the_eye_does_not_see(picture):
    original = picture(3, size=(64, 64))
    noisy = np.clip(original + np.random.default_rng(0).normal(0, 4, original.shape), 0, 255).astype(np.uint8)
    smaller = np.asarray(Image.fromarray(original).resize((48, 48)))
    other = picture(4, size=(64, 64))

    def distance(a, b):
        return (perceptual_hash(a) ^ perceptual_hash(b)).bit_count()

    assert distance(original, noisy) <= 4
    assert distance(original, smaller) <= 4
    assert distance(original, other) > 10
