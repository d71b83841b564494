"""Other thresholds in the files of an export: the answers are those of an export with these thresholds."""

import functools
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest

from fettle.errors import ArtifactError, SpecError
from fettle.export import FULL_CURVE, Tensor, set_thresholds
from fettle.export.onnx import describe, export_onnx
from fettle.optimize.openvino_quantization import to_openvino_fp16
from fettle.runtimes import open_engine
from fettle.spec import DetectionConfig


@pytest.fixture(scope="module")
def exported(detector, detection, tmp_path_factory):
    @functools.cache
    def export(config):
        folder = tmp_path_factory.mktemp("export")
        export_onnx(detector, detection, folder / "model.onnx", detections=config)
        return describe(folder, detection, recipe="baseline", resize="squash", detections=config)

    return export


@pytest.fixture
def make(exported, tmp_path):
    """Export with these thresholds, into a folder of the test's own."""

    def make(name, **values):
        made = exported(DetectionConfig(**values))
        return replace(made, path=shutil.copytree(made.path, tmp_path / name))

    return make


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "other").mkdir()
    return tmp_path / "other"


@pytest.fixture(params=["onnx", "openvino"])
def export(request, make):
    made = make("made")
    if request.param == "onnx":
        return made
    to_openvino_fp16(made.file, made.path / "model.xml")
    return replace(made, format="openvino", runtimes=("openvino",))


def ask(export, images, runtime=None):
    with open_engine(runtime or export.runtimes[0], export.file) as engine:
        return engine(images)


def test_they_are_those_of_an_export_with_these_values(make, folder, images):
    values = {"confidence": 0.6, "iou": 0.3, "max_detections": 4}
    changed = set_thresholds(make("made"), folder, **values)
    wanted = make("wanted", **values)
    assert changed == replace(wanted, path=folder)
    assert changed.file.read_bytes() == wanted.file.read_bytes()


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("agnostic", [True, False])
def test_an_answer_is_the_prefix_of_the_full_curve(make, folder, images, runtime, agnostic):
    export = make("made", agnostic=agnostic)
    full = ask(set_thresholds(export, folder, **FULL_CURVE), images, runtime)
    assert (full[3] > 10).all()
    few = folder / "few"
    few.mkdir()
    for confidence in (0.3, 0.5, 0.7, float(full[1][3, 5])):
        answers = ask(set_thresholds(export, few, confidence=confidence, max_detections=10), images, runtime)
        passing = (full[1] >= np.float32(confidence)).sum(1).clip(max=10)
        np.testing.assert_array_equal(answers[3][:, 0], passing)
        there = np.arange(10) < passing[:, None]
        for long, short in zip(full[:3], answers[:3], strict=True):
            np.testing.assert_array_equal(short[there], long[:, :10][there])
            assert np.isin(short[~there], (0, -1)).all()


def test_every_format_takes_them(export, folder, images):
    changed = set_thresholds(export, folder, confidence=0.55, max_detections=7)
    boxes, scores, _, count = ask(changed, images)
    assert boxes.shape == (16, 7, 4)
    assert [tensor.shape for tensor in changed.outputs] == [(7, 4), (7,), (7,), (1,)]
    assert (scores[scores > 0] >= np.float32(0.55)).all()
    before = ask(export, images)
    np.testing.assert_array_equal(count[:, 0], (before[1] >= np.float32(0.55)).sum(1).clip(max=7))
    assert changed.thresholds == {"confidence": 0.55, "iou": 0.5, "max_detections": 7}
    assert isinstance(changed.thresholds["max_detections"], int)
    assert {file.name for file in folder.iterdir()} == {file.name for file in changed.files}


def test_the_same_values_give_the_same_bytes_and_can_be_set_again(export, folder, images, tmp_path):
    (tmp_path / "back").mkdir()
    (tmp_path / "again").mkdir()
    changed = set_thresholds(export, folder, **FULL_CURVE)
    again = set_thresholds(export, tmp_path / "again", **FULL_CURVE)
    for first, second in zip(changed.files, again.files, strict=True):
        assert first.read_bytes() == second.read_bytes()
    back = set_thresholds(changed, tmp_path / "back", **export.thresholds)
    for wanted, answer in zip(ask(export, images), ask(back, images), strict=True):
        np.testing.assert_array_equal(answer, wanted)


def test_without_values_it_is_a_copy(export, folder):
    copied = set_thresholds(export, folder)
    for first, second in zip(export.files, copied.files, strict=True):
        assert first.read_bytes() == second.read_bytes()
    assert copied == replace(export, path=folder)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"confidence": 1.5}, "`confidence` cannot be 1.5"),
        ({"confidence": float("nan")}, "`confidence` cannot be nan"),
        ({"max_detections": 301}, "`max_detections` cannot be 301"),
        ({"max_detections": 2.5}, "`max_detections` cannot be 2.5"),
        ({"iou": 0}, "`iou` cannot be 0"),
        ({"score": 0.5}, "has no threshold 'score': it has confidence, iou, max_detections"),
    ],
)
def test_other_values_are_refused(make, folder, values, words):
    with pytest.raises(SpecError, match=words):
        set_thresholds(make("made"), folder, **values)
    assert not list(folder.iterdir())


def test_a_classifier_has_none(make, folder):
    classifier = replace(make("made"), task="classify", outputs=(Tensor("p", "float32", (3,)),), thresholds={})
    with pytest.raises(SpecError, match=r"\(classify\) has no threshold 'confidence': it has none"):
        set_thresholds(classifier, folder, confidence=0.5)


def test_a_file_of_another_making_is_refused(make, folder):
    export = make("made")
    model = onnx.load(export.file)
    next(value for value in model.graph.initializer if value.name == "iou").name = "other"
    next(node for node in model.graph.node if node.op_type == "NonMaxSuppression").input[3] = "other"
    onnx.save(model, export.file)
    with pytest.raises(ArtifactError, match="has no 'iou'"):
        set_thresholds(export, folder, confidence=0.5)
    export.file.write_bytes(b"not a model")
    with pytest.raises(ArtifactError, match="cannot be read"):
        set_thresholds(export, folder, confidence=0.5)
