"""Suppression in the graph against torchvision's ``nms``, on candidates made by hand and at random."""

import numpy as np
import onnx
import openvino as ov
import pytest
import torch
from onnx import TensorProto, helper
from torchvision.ops import nms

from fettle.errors import OptimizeError
from fettle.export.suppression import CANDIDATES, add_suppression
from fettle.runtimes.onnxruntime import session_options
from fettle.spec import DetectionConfig

SIZE = 128


def candidates_model(anchors: int, classes: int) -> onnx.ModelProto:
    """A graph that hands its inputs on."""
    sides = {"candidate_boxes": ["N", anchors, 4], "candidate_scores": ["N", anchors, classes]}
    graph = helper.make_graph(
        [helper.make_node("Identity", [f"in_{name}"], [name]) for name in CANDIDATES],
        "candidates",
        [helper.make_tensor_value_info(f"in_{name}", TensorProto.FLOAT, sides[name]) for name in CANDIDATES],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, sides[name]) for name in CANDIDATES],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def in_onnxruntime(model: onnx.ModelProto, boxes: np.ndarray, scores: np.ndarray) -> list[np.ndarray]:
    import onnxruntime as ort

    session = ort.InferenceSession(model.SerializeToString(), session_options({}, 1))
    return session.run(None, {"in_candidate_boxes": boxes, "in_candidate_scores": scores})


def in_openvino(model: onnx.ModelProto, boxes: np.ndarray, scores: np.ndarray) -> list[np.ndarray]:
    compiled = ov.Core().compile_model(ov.Core().read_model(model.SerializeToString()), "CPU")
    return list(compiled([boxes, scores]).values())


RUNTIMES = {"onnxruntime": in_onnxruntime, "openvino": in_openvino}


@pytest.fixture(params=RUNTIMES)
def answer(request):
    def run(boxes, scores, **config):
        boxes, scores = np.asarray(boxes, np.float32), np.asarray(scores, np.float32)
        model = add_suppression(candidates_model(*scores.shape[1:]), DetectionConfig(**config), image_size=SIZE)
        return RUNTIMES[request.param](model, boxes, scores)

    return run


def expected(boxes, scores, *, confidence=0.25, iou=0.5, agnostic=True, max_detections=10):
    """Boxes, scores and labels of one image, by torchvision."""
    boxes, scores = torch.tensor(boxes), torch.tensor(scores)
    if agnostic:
        scores, labels = scores.max(1)
    else:
        labels = torch.arange(scores.shape[1]).repeat(len(boxes))
        boxes, scores = boxes.repeat_interleave(scores.shape[1], 0), scores.flatten()
    best = scores.argsort(descending=True, stable=True)[:1000]
    best = best[scores[best] >= confidence]
    boxes, scores, labels = boxes[best], scores[best], labels[best]
    if agnostic:
        kept = nms(boxes, scores, iou)
    else:
        of_class = [torch.where(labels == label)[0] for label in labels.unique()]
        kept = torch.cat([torch.zeros(0, dtype=int), *(rows[nms(boxes[rows], scores[rows], iou)] for rows in of_class)])
        kept = kept[scores[kept].argsort(descending=True, stable=True)]
    kept = kept[:max_detections]
    return boxes[kept].clamp(0, SIZE).numpy(), scores[kept].numpy(), labels[kept].numpy()


def check(answers, wanted, most):
    boxes, scores, labels, count = answers
    assert [array.dtype.name for array in answers] == ["float32", "float32", "int32", "int32"]
    assert [array.shape[1:] for array in answers] == [(most, 4), (most,), (most,), (1,)]
    for row, (box, score, label) in enumerate(wanted):
        found = len(score)
        assert count[row, 0] == found
        np.testing.assert_array_equal(boxes[row, :found], box)
        np.testing.assert_array_equal(scores[row, :found], np.float32(score))
        np.testing.assert_array_equal(labels[row, :found], label)
        assert (np.diff(scores[row]) <= 0).all()
        assert not boxes[row, found:].any()
        assert not scores[row, found:].any()
        assert (labels[row, found:] == -1).all()


def random_candidates(images, anchors, classes, seed=0):
    draw = np.random.default_rng(seed)
    corner, side = draw.uniform(-10, SIZE - 20, (images, anchors, 2)), draw.uniform(8, 44, (images, anchors, 2))
    scores = draw.uniform(0, 1, (images, anchors, classes)) ** 3
    return np.concatenate((corner, corner + side), 2).astype(np.float32), scores.astype(np.float32)


@pytest.mark.parametrize("agnostic", [True, False])
@pytest.mark.parametrize(("confidence", "most"), [(0.25, 10), (0.001, 300), (0.9, 3)])
@pytest.mark.parametrize(
    ("anchors", "classes"), [(1344, 6), (84, 3), (1, 1)]
)  # more candidates than 1,000; fewer than 300
def test_random_boxes(answer, agnostic, confidence, most, anchors, classes):
    boxes, scores = random_candidates(4, anchors, classes)
    config = {"confidence": confidence, "max_detections": most, "agnostic": agnostic}
    wanted = [expected(*image, **config) for image in zip(boxes, scores, strict=True)]
    check(answer(boxes, scores, **config), wanted, most)


@pytest.mark.parametrize("agnostic", [True, False])
def test_no_box_above_the_threshold(answer, agnostic):
    boxes, scores = random_candidates(2, 50, 2)
    empty = (np.zeros((0, 4)), np.zeros(0), np.zeros(0))
    check(answer(boxes, scores * 0.2, agnostic=agnostic), [empty, empty], 10)


def test_a_thousand_boxes_that_do_not_overlap(answer):
    x, y = np.meshgrid(np.arange(40) * 3, np.arange(25) * 5)
    corner = np.stack((x.ravel(), y.ravel()), 1).astype(np.float32)
    boxes, scores = np.concatenate((corner, corner + 2), 1)[None], np.linspace(1, 0.3, 1000, dtype=np.float32)
    wanted = (boxes[0, :300], scores[:300], np.zeros(300))
    check(answer(boxes, scores[None, :, None], max_detections=300), [wanted], 300)


@pytest.mark.parametrize("agnostic", [True, False])
def test_with_equal_scores_an_answer_is_the_same_alone_and_a_prefix_of_longer_ones(answer, agnostic):
    boxes, scores = random_candidates(5, 700, 3)
    scores = np.round(scores, 1)
    config = {"iou": 0.3, "agnostic": agnostic}
    full = answer(boxes, scores, confidence=0.001, max_detections=300, **config)
    few = answer(boxes, scores, confidence=0.5, max_detections=10, **config)
    assert (np.diff(full[1]) == 0).sum() > 100, "ties"
    for row in range(5):
        wanted = min(10, int((full[1][row] >= 0.5).sum()))
        assert few[3][row, 0] == wanted
        for long, short in zip(full[:3], few[:3], strict=True):
            np.testing.assert_array_equal(short[row, :wanted], long[row, :wanted])
        alone = answer(boxes[row : row + 1], scores[row : row + 1], confidence=0.5, max_detections=10, **config)
        for batch, single in zip(few, alone, strict=True):
            np.testing.assert_array_equal(single[0], batch[row])


@pytest.mark.parametrize(("iou", "height"), [(0.5, 5), (0.25, 2.5), (0.75, 7.5)])
def test_an_overlap_of_exactly_the_threshold_stays(answer, iou, height):
    boxes = np.array([[[0, 0, 10, 10], [0, 0, 10, height], [0, 0, 10, height + 0.25]]], np.float32)
    scores = np.array([[[0.9], [0.8], [0.7]]], np.float32)
    assert nms(torch.tensor(boxes[0, :2]), torch.tensor(scores[0, :2, 0]), iou).tolist() == [0, 1]
    check(answer(boxes[:, :2], scores[:, :2], iou=iou), [(boxes[0, :2], [0.9, 0.8], [0, 0])], 10)
    assert answer(boxes[:, [0, 2]], scores[:, :2], iou=iou)[3] == 1, "a quarter of a pixel more goes"


def test_a_score_of_exactly_the_confidence_is_answered(answer):
    scores = np.array([[[0.3], [np.nextafter(np.float32(0.3), np.float32(0))]]], np.float32)
    boxes = np.array([[[0, 0, 10, 10], [50, 50, 60, 60]]], np.float32)
    check(answer(boxes, scores, confidence=0.3), [(boxes[0, :1], scores[0, :1, 0], [0])], 10)


def test_within_classes_a_box_may_have_several(answer):
    boxes = np.array([[[0, 0, 10, 10], [0, 0, 10, 9]]], np.float32)
    scores = np.array([[[0.9, 0.6], [0.5, 0.7]]], np.float32)
    check(answer(boxes, scores), [(boxes[0, :1], [0.9], [0])], 10)
    wanted = (boxes[0, [0, 1]], np.float32([0.9, 0.7]), [0, 1])
    check(answer(boxes, scores, agnostic=False), [wanted], 10)


def test_boxes_end_where_the_square_does(answer):
    boxes = np.array([[[-5, -1, SIZE + 9, 20]]], np.float32)
    assert answer(boxes, [[[0.9]]])[0][0, 0].tolist() == [0, 0, SIZE, 20]


def test_scores_that_are_not_numbers_are_no_detections(answer):
    boxes, _ = random_candidates(1, 8, 1)
    assert answer(boxes, np.full((1, 8, 1), np.nan))[3] == 0


@pytest.mark.parametrize("shape", [(10, 5), (9, 4)])
def test_another_output_is_refused(shape):
    model = candidates_model(10, 3)
    for dim, value in zip(model.graph.output[0].type.tensor_type.shape.dim[1:], shape, strict=True):
        dim.dim_value = value
    with pytest.raises(OptimizeError, match=r"boxes \(N, A, 4\)"):
        add_suppression(model, DetectionConfig(), image_size=SIZE)
