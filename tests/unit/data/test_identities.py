"""Identities are split as a whole; what cannot be verified is refused."""

import logging
from collections import defaultdict
from pathlib import Path

import pytest

from fettle.data import open_dataset
from fettle.errors import DataError
from fettle.spec import DatasetConfig
from fettle.steps.ingest import ingest

PEOPLE = {f"p{index:02d}": 5 for index in range(20)}


def split(source: Path, out: Path, **split: object) -> dict[str, set[str]]:
    """Ingest, and return the identities by split."""
    config = DatasetConfig.model_validate({"split": split})
    data = open_dataset(ingest(source, out, dataset=config, image_size=16, task="embed").path)
    found = defaultdict(set)
    for record in data.records:
        found[record.split].add(data.classes[record.label])
    return found


def test_who_is_verified_was_never_seen(make_folder, tmp_path) -> None:
    found = split(make_folder(PEOPLE), tmp_path / "out")
    assert {name: len(people) for name, people in found.items()} == {"test": 3, "val": 3, "train": 14, "calib": 4}
    assert not found["test"] & found["val"]
    assert not (found["test"] | found["val"]) & (found["train"] | found["calib"])


def test_the_held_out_are_those_that_are_named(make_folder, tmp_path) -> None:
    found = split(make_folder(PEOPLE), tmp_path / "out", hold_out="p1[5-9]", calib=0)
    assert found["test"] == {f"p{index}" for index in range(15, 20)}
    assert len(found["val"]) == 3
    assert "calib" not in found


def test_an_expression_that_holds_nobody_out_is_refused(make_folder, tmp_path) -> None:
    with pytest.raises(DataError, match="hold_out 'nobody' matches 0 of 20 identities, such as 'p"):
        split(make_folder(PEOPLE), tmp_path / "out", hold_out="nobody")
    with pytest.raises(ValueError, match="not a regular expression"):
        DatasetConfig.model_validate({"split": {"hold_out": "("}})


def test_identities_that_overlap_splits_are_refused(make_folder, tmp_path) -> None:
    source = make_folder({"train/ada": 4, "train/bob": 4, "test/ada": 3, "test/eve": 3})
    with pytest.raises(DataError, match=r"1 identities are in test and in (train|val), such as ada: .*keep=false"):
        split(source, tmp_path / "out", val=0.2)


def test_one_picture_of_a_person_is_said(make_folder, tmp_path, caplog) -> None:
    with caplog.at_level(logging.WARNING, "fettle"):
        split(make_folder({**PEOPLE, "alone": 1}), tmp_path / "out", hold_out="p0[0-3]|alone")
    assert "1 identities have one picture in test, such as alone" in caplog.text


def test_pictures_of_which_no_two_are_of_one_person_are_refused(make_folder, tmp_path) -> None:
    people = {f"p{index}": 4 for index in range(8)} | {"x1": 1, "x2": 1}
    with pytest.raises(DataError, match="test split has 2 identities, 0 of them with two pictures"):
        split(make_folder(people), tmp_path / "out", hold_out="x.")


def test_one_identity_is_refused(make_folder, tmp_path) -> None:
    with pytest.raises(DataError, match="one class only, 'ada'"):
        split(make_folder({"ada": 9}), tmp_path / "out")
