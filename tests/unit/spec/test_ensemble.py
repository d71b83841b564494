"""Members of an ensemble in the spec."""

import pytest

from fettle.errors import SpecError
from fettle.spec import resolve_spec

MEMBERS = {"yolo": {"model": {"family": "yolov8"}}, "faces": {"model": {"family": "arcface"}}}


def spec(**changes):
    return resolve_spec({"name": "x", "model": {"image_size": 64}, "members": MEMBERS, **changes})


def test_a_member_brings_its_familys_preset_and_takes_the_image_size() -> None:
    members = spec().members
    assert {name: member.train.preset for name, member in members.items()} == {"yolo": "yolov8", "faces": "arcface"}
    assert {member.model.image_size for member in members.values()} == {64}


def test_it_goes_to_json_and_back() -> None:
    first = spec(ensemble={"weights": {"yolo": 0.6, "faces": 0.4}})
    assert resolve_spec(first.to_json()) == first


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "embed"}, "classifiers vote, and the task is embed"),
        ({"members": {"yolo": {}}}, "a vote needs two at least"),
        ({"members": {"student": {}, "b": {}}}, "'student' is no name"),
        ({"members": {"A b": {}, "b": {}}}, "'A b' is no name"),
        ({"members": {"a": {"model": {"image_size": 32}}, "b": {}}}, "members.a.model.image_size is 32"),
        ({"members": {"a": {"votes": "int8-openvino"}, "b": {}}}, "'int8', which is not among recipes"),
        ({"members": {"a": {"votes": "int8"}, "b": {}}}, "votes"),
        ({"runtimes": ["onnxruntime"]}, "votes: openvino is not among runtimes"),
        ({"ensemble": {"weights": {"yolo": 1.0}}}, "are of yolo, members are yolo, faces"),
        ({"ensemble": {"weights": {"yolo": 0.6, "faces": 0.6}}}, "add up to 1.2, not to 1"),
        ({"ensemble": {"weights": {"yolo": 1.5, "faces": -0.5}}}, "greater than or equal to 0"),
    ],
)
def test_members_that_cannot_vote_together(changes, words) -> None:
    with pytest.raises(SpecError, match=words):
        spec(**changes)


def test_views_are_not_for_boxes() -> None:
    with pytest.raises(SpecError, match="boxes have no mean"):
        resolve_spec({"task": "detect", "model": {"family": "yolov8"}, "recipes": {"tta": ["tta"]}})


@pytest.mark.parametrize("recipe", [["tta", "prune"], ["quantize", "tta"], ["tta", "tta"], ["quantize", "quantize"]])
def test_steps_in_an_order_that_cannot_work(recipe) -> None:
    with pytest.raises(SpecError, match="cannot follow"):
        resolve_spec({"recipes": {"odd": recipe}})
