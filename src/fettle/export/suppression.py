"""Non-maximum suppression as ONNX: what follows a detector's network in the exported graph.

Every shape but the batch is static, so a runtime plans the graph once: the best candidates of an image are taken, the
standard operator suppresses among them, and what it keeps is sorted to the front. The thresholds are constants that
:func:`fettle.export.thresholds.set_thresholds` replaces.

https://onnx.ai/onnx/operators/onnx__NonMaxSuppression.html
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import onnx
from onnx import numpy_helper

from fettle.errors import OptimizeError
from fettle.spec import DetectionConfig

CANDIDATES = ("candidate_boxes", "candidate_scores")
# Where the thresholds go in: a node and which of its inputs. Conversions keep the names of nodes, not of constants.
READERS: Mapping[str, tuple[tuple[str, int], ...]] = MappingProxyType(
    {
        "confidence": (("postprocess/passes", 1),),
        "iou": (("postprocess/selected", 3),),
        "max_detections": (("postprocess/selected", 2), ("postprocess/sorted", 1)),
    }
)
MOST_CANDIDATES = 1000
MOST_DETECTIONS = 300  # candidates are padded to as many, so that `max_detections` is free up to there
PREFIX = "postprocess/"

HEADER = """
<ir_version: 10, opset_import: ["": {opset}]>
detections (float[N, A, 4] candidate_boxes, float[N, A, C] candidate_scores)
    => (float[N, K, 4] boxes, float[N, K] scores, int32[N, K] labels, int32[N, 1] count) {{
"""
# An image has few anchors: rows that no threshold lets pass fill it up.
PAD = """
    all_boxes = Pad(candidate_boxes, pads_of_boxes, zero)
    all_scores = Pad(candidate_scores, pads_of_scores, never)
"""
NO_PAD = """
    all_boxes = Identity(candidate_boxes)
    all_scores = Identity(candidate_scores)
"""
# Every box once, with its best class, in one pool.
AGNOSTIC = """
    best_class = ArgMax <axis = 2, keepdims = 0> (all_scores)
    best_score = ReduceMax <keepdims = 0> (all_scores, two)
    top_score, row = TopK (best_score, candidates)
    row_ = Unsqueeze (row, two)
    top_box = GatherND <batch_dims = 1> (all_boxes, row_)
    top_class = GatherND <batch_dims = 1> (best_class, row_)
    passes = GreaterOrEqual (top_score, confidence)
    passing_score = Where (passes, top_score, never)
    pools = Unsqueeze (passing_score, one)
"""
# Every pair of a box and a class; a pool for each class, in which the pairs of the others cannot pass.
PER_CLASS = """
    flat_scores = Reshape (all_scores, flat)
    top_score, pair = TopK (flat_scores, candidates)
    row = Div (pair, classes)
    row_ = Unsqueeze (row, two)
    top_box = GatherND <batch_dims = 1> (all_boxes, row_)
    top_class = Mod (pair, classes)
    passes = GreaterOrEqual (top_score, confidence)
    passing_score = Where (passes, top_score, never)
    class_ = Unsqueeze (top_class, one)
    score_ = Unsqueeze (passing_score, one)
    in_pool = Equal (class_, each_class)
    pools = Where (in_pool, score_, never)
"""
# The operator answers (image, pool, candidate) in rows as many as it keeps. Candidates fall already, so their places
# bring what was kept to the front: equal scores are no matter of a runtime's sorting, and each answer is a prefix of a
# longer one.
REST = """
    selected = NonMaxSuppression (top_box, pools, max_detections, iou, zero)
    where = Gather <axis = 1> (selected, image_and_candidate)
    candidate = Gather <axis = 1> (selected, candidate_alone)
    points = Gather (points_of_place, candidate)
    shape = Shape (top_score)
    nothing = Expand (zero, shape)
    kept = ScatterND (nothing, where, points)
    sorted, place = TopK (kept, max_detections)
    found = Greater (sorted, zero)
    place_ = Unsqueeze (place, two)
    found_ = Unsqueeze (found, two)
    kept_score = GatherND <batch_dims = 1> (top_score, place_)
    scores = Where (found, kept_score, zero)
    kept_class = GatherND <batch_dims = 1> (top_class, place_)
    label = Where (found, kept_class, no_class)
    labels = Cast <to = 6> (label)
    kept_box = GatherND <batch_dims = 1> (top_box, place_)
    inside = Clip (kept_box, zero_, size)
    boxes = Where (found_, inside, zero)
    ones = Cast <to = 6> (found)
    count = ReduceSum <keepdims = 1> (ones, one)
}
"""


def add_suppression(model: onnx.ModelProto, config: DetectionConfig, *, image_size: int) -> onnx.ModelProto:
    """Return ``model`` with thresholds, non-maximum suppression and sorting behind it.

    Args:
        model: Graph whose outputs are :data:`CANDIDATES`: boxes (N, A, 4) xyxy in pixels, scores (N, A, C) in [0, 1].
        config: Thresholds; whether boxes of different classes suppress one another.
        image_size: Boxes are clipped to [0, image_size].

    Returns:
        A graph with the outputs ``boxes`` (N, K, 4) float32, ``scores`` (N, K) float32 falling, ``labels`` (N, K)
        int32, ``count`` (N, 1) int32; rows from ``count`` on are 0, 0 and -1. A box is answered if its score is at
        least ``confidence``, and suppressed if it overlaps a better one by more than ``iou``.

    Raises:
        OptimizeError: If the model's outputs are others.
    """
    anchors, classes = _candidate_shape(model)
    pairs = anchors if config.agnostic else anchors * classes
    missing = max(0, -(-(MOST_DETECTIONS - pairs) // (pairs // anchors)))
    (opset,) = (entry.version for entry in model.opset_import)
    body = (PAD if missing else NO_PAD) + (AGNOSTIC if config.agnostic else PER_CLASS) + REST
    tail = onnx.parser.parse_model(HEADER.format(opset=opset) + body)
    tail.ir_version = model.ir_version
    candidates = min(MOST_CANDIDATES, max(pairs, MOST_DETECTIONS))
    constants = {
        **threshold_constants(config.model_dump(include=set(READERS))),
        **_constants(image_size, classes, missing, candidates),
    }
    used = {name for node in tail.graph.node for name in node.input}
    tail.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in constants.items() if name in used
    )
    for node in tail.graph.node:
        node.name = node.output[0]
    tail = onnx.compose.add_prefix(tail, PREFIX, rename_inputs=False, rename_outputs=False, rename_initializers=False)
    merged = onnx.compose.merge_models(model, tail, io_map=[(name, name) for name in CANDIDATES])
    del merged.opset_import[1:]  # the same twice: quantizers stumble over it
    merged.graph.name, merged.producer_name, merged.producer_version = "fettle", "fettle", ""
    set_output_shapes(merged, config.max_detections)
    onnx.checker.check_model(merged, full_check=True)
    return merged


def set_output_shapes(model: onnx.ModelProto, max_detections: int) -> None:
    """Write K into the shapes of the outputs, and the batch's name."""
    batch = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for output in model.graph.output:
        dims = output.type.tensor_type.shape.dim
        dims[0].dim_param = batch
        if output.name != "count":
            dims[1].dim_value = max_detections


def threshold_constants(thresholds: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Return what the graph holds for some of the thresholds."""
    return {name: _THRESHOLD_CONSTANTS[name](value) for name, value in thresholds.items()}


_THRESHOLD_CONSTANTS: Mapping[str, Callable[[float], np.ndarray]] = MappingProxyType(
    {
        "confidence": lambda value: np.array([value], np.float32),
        # Two boxes that overlap by exactly `iou` both stay. ONNX Runtime suppresses above the constant, OpenVINO from
        # it on: the next larger number means the same to both.
        "iou": lambda value: np.nextafter(np.array([value], np.float32), np.float32(2)),
        "max_detections": lambda value: np.array([int(value)]),
    }
)


def _constants(size: int, classes: int, missing: int, candidates: int) -> dict[str, np.ndarray]:
    return {
        "candidates": np.array([candidates]),
        "classes": np.array(classes),
        "candidate_alone": np.array(2),
        "points_of_place": np.arange(candidates, 0, -1, dtype=np.float32),
        "each_class": np.arange(classes).reshape(1, classes, 1),
        "flat": np.array([0, -1]),
        "image_and_candidate": np.array([0, 2]),
        "never": np.array(-1, np.float32),
        "no_class": np.array(-1),
        "one": np.array([1]),
        "pads_of_boxes": np.array([0, 0, 0, 0, missing, 0]),
        "pads_of_scores": np.array([0, 0, 0, 0, missing, 0]),
        "size": np.array(size, np.float32),
        "two": np.array([2]),
        "zero": np.array([0], np.float32),
        "zero_": np.array(0, np.float32),
    }


def _candidate_shape(model: onnx.ModelProto) -> tuple[int, int]:
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in model.graph.output
    }
    boxes, scores = (shapes.get(name, ()) for name in CANDIDATES)
    if len(boxes) != 3 or len(scores) != 3 or boxes[1:] != (scores[1], 4) or 0 in scores[1:]:
        raise OptimizeError(
            f"A detector gives boxes (N, A, 4) and scores (N, A, C), this one {shapes}: see the contract of families."
        )
    return scores[1], scores[2]
