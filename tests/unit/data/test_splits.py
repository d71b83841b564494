import hashlib
from collections import Counter

import pytest

from fettle.data.cache import Decoded
from fettle.data.listing import Item
from fettle.data.splits import split_images
from fettle.errors import DataError
from fettle.spec import SplitConfig


def images(counts: dict[str, int], *, split: str | None = None, start: int = 0) -> list[Decoded]:
    made = []
    for label, count in counts.items():
        for index in range(start, start + count):
            digest = hashlib.sha256(f"{label}{index}{split}".encode()).hexdigest()
            made.append(Decoded(Item(f"{label}/{index}", label, split), 0, digest, 0, 9, 9, 0.5, (), labels=(label,)))
    return made


def table(made, splits):
    return Counter((one.item.label, split) for one, split in zip(made, splits, strict=True))


def by_content(made, splits):
    return {one.sha256: split for one, split in zip(made, splits, strict=True)}


def test_shares_hold_in_each_class():
    made = images({"ok": 200, "bad": 40})
    counts = table(made, split_images(made, [], SplitConfig(test=0.15, val=0.2, calib=0.1)))
    assert [counts["ok", split] for split in ("train", "calib", "val", "test")] == [110, 20, 40, 30]
    assert [counts["bad", split] for split in ("train", "calib", "val", "test")] == [22, 4, 8, 6]


def test_order_and_names_do_not_matter():
    made = images({"ok": 50, "bad": 50})
    renamed = [
        Decoded(Item(f"x/{i}", one.item.label), i, one.sha256, 0, 9, 9, 0.5, (), labels=one.labels)
        for i, one in enumerate(reversed(made))
    ]
    first, second = split_images(made, [], SplitConfig()), split_images(renamed, [], SplitConfig())
    assert by_content(made, first) == by_content(renamed, second)


def test_seed_matters():
    made = images({"ok": 100, "bad": 100})
    assert split_images(made, [], SplitConfig(seed=0)) != split_images(made, [], SplitConfig(seed=1))


def test_more_images_hardly_move_the_others():
    made, more = images({"ok": 400, "bad": 100}), images({"ok": 20, "bad": 5}, start=1000)
    before = by_content(made, split_images(made, [], SplitConfig()))
    after = by_content(made + more, split_images(made + more, [], SplitConfig()))
    moved = sum(after[digest] != split for digest, split in before.items())
    assert moved <= 0.06 * len(made)


@pytest.mark.parametrize("count", [4, 5, 6])
def test_small_class_is_in_every_split(count):
    made = images({"ok": 100, "rare": count})
    counts = table(made, split_images(made, [], SplitConfig()))
    assert all(counts["rare", split] >= 1 for split in ("train", "calib", "val", "test"))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_class_too_small_for_the_splits_is_refused(count):
    with pytest.raises(DataError, match=rf"Class 'rare' has {count} distinct image.*calib=0"):
        made = images({"ok": 100, "rare": count})
        split_images(made, [], SplitConfig())


def test_remedy_of_that_refusal_works():
    made = images({"ok": 100, "rare": 3})
    counts = table(made, split_images(made, [], SplitConfig(calib=0)))
    assert [counts["rare", split] for split in ("train", "calib", "val", "test")] == [1, 0, 1, 1]


def test_fixed_test_stays_and_the_rest_is_carved_from_train():
    made = images({"a": 100, "b": 100}, split="train") + images({"a": 30, "b": 30}, split="test")
    splits = split_images(made, [], SplitConfig(val=0.2, calib=0.1))
    assert table(made, splits) == {
        **{(label, "train"): 70 for label in "ab"},
        **{(label, "calib"): 10 for label in "ab"},
        **{(label, "val"): 20 for label in "ab"},
        **{(label, "test"): 30 for label in "ab"},
    }
    assert all(split == "test" for one, split in zip(made, splits, strict=True) if one.item.split == "test")


def test_all_splits_fixed_are_kept():
    made = [image for split in ("train", "calib", "val", "test") for image in images({"a": 5, "b": 5}, split=split)]
    assert split_images(made, [], SplitConfig()) == [one.item.split for one in made]


def test_source_without_training_images_is_refused():
    with pytest.raises(DataError, match="train"):
        made = images({"a": 9, "b": 9}, split="test")
        split_images(made, [], SplitConfig())


def test_class_that_is_only_in_the_sources_test_is_refused():
    with pytest.raises(DataError, match="Class 'new'"):
        made = images({"a": 30, "b": 30}, split="train") + images({"a": 9, "b": 9, "new": 9}, split="test")
        split_images(made, [], SplitConfig())


def test_class_that_the_sources_test_lacks_is_only_warned_of(caplog):
    made = images({"a": 30, "b": 30}, split="train") + images({"a": 9}, split="test")
    split_images(made, [], SplitConfig())
    assert "Class 'b' has no image in the source's own test" in caplog.text


def test_groups_stay_together():
    made = images({"ok": 100, "bad": 100})
    groups = [list(range(start, start + 4)) for start in range(0, 200, 4)]
    splits = split_images(made, groups, SplitConfig())
    assert all(len({splits[index] for index in group}) == 1 for group in groups)
    assert set(splits) == {"train", "calib", "val", "test"}


def test_group_too_large_for_a_split_trains():
    made = images({"ok": 100, "bad": 100})
    group = list(range(60))
    splits = split_images(made, [group], SplitConfig())
    assert {splits[index] for index in group} == {"train"}


def test_group_with_a_fixed_member_goes_where_that_is():
    made = images({"a": 20, "b": 20}, split="train") + images({"a": 5, "b": 5}, split="test")
    splits = split_images(made, [[0, 40]], SplitConfig())
    assert (splits[0], splits[40]) == ("test", "test")


def test_splits_of_the_source_are_made_anew_when_they_are_not_kept():
    made = images({"ok": 60, "bad": 60}, split="train") + images({"ok": 2, "bad": 2}, split="val")
    kept, anew = (split_images(made, [], SplitConfig(val=0.2, keep=keep)) for keep in (True, False))
    assert kept.count("val") == 4
    assert anew.count("val") == pytest.approx(0.2 * len(made), abs=2)
