"""When a served answer is the offline one."""

import numpy as np
import pytest

from fettle.hardware import Passport
from fettle.serve import compare
from fettle.serve.compare import COMPARERS, Comparison

Detection = tuple[tuple[float, ...], float, int]
THRESHOLDS = {"confidence": 0.25, "iou": 0.5, "max_detections": 3}
A, B, C, D = (
    ((10, 10, 30, 30), 0.9, 0), ((40, 40, 60, 60), 0.6, 1), ((5, 50, 25, 60), 0.5, 1), ((50, 5, 60, 25), 0.4, 0),
)  # fmt: skip


def outputs(*images: list[Detection], room: int = 3) -> dict[str, np.ndarray]:
    """Lay detections out as a served graph does."""
    found = {
        "boxes": np.zeros((len(images), room, 4), np.float32),
        "scores": np.zeros((len(images), room), np.float32),
        "labels": np.full((len(images), room), -1, np.int32),
        "count": np.array([[len(image)] for image in images], np.int32),
    }
    for row, image in enumerate(images):
        for place, detection in enumerate(image):
            found["boxes"][row, place], found["scores"][row, place], found["labels"][row, place] = detection
    return found


def detections(served: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> Comparison:
    comparer = COMPARERS["detect"]
    return comparer.compare(served, expected, comparer.tolerances("onnxruntime", "float32"), THRESHOLDS)


def moved(detection: Detection, *, by: float = 0.0, score: float = 0.0) -> Detection:
    box, before, label = detection
    return tuple(value + by for value in box), before + score, label


def test_equal_answers_and_none_at_all() -> None:
    for images in ([[A, B], []], [[]]):
        comparison = detections(outputs(*images), outputs(*images))
        assert comparison.differences == {"box": 0, "score": 0, "unpaired": 0}
        assert comparison.same.all()


def test_small_differences_are_measured() -> None:
    comparison = detections(outputs([moved(A, by=0.5, score=-4e-4), B]), outputs([A, B]))
    assert comparison.differences["box"] == pytest.approx(0.5)
    assert comparison.differences["score"] == pytest.approx(4e-4, rel=1e-3)
    assert comparison.differences["unpaired"] == 0


@pytest.mark.parametrize(
    ("served", "expected", "unpaired"),
    [
        ([A], [A, B], 1),  # one is missing
        ([A, B], [A], 1),  # one too many
        ([moved(A, by=1.5)], [A], 2),
        ([moved(A, score=-0.01)], [A], 2),
        ([(A[0], A[1], 1)], [A], 2),  # another label
        ([A, A], [A, B], 2),  # one detection is not two
        ([moved(A, by=np.nan)], [A], 2),
        ([moved(A, score=np.nan)], [A], 2),
    ],
)
def test_what_differs_has_no_counterpart(served: list[Detection], expected: list[Detection], unpaired: int) -> None:
    comparison = detections(outputs([B], served), outputs([B], expected))
    assert comparison.differences["unpaired"] == unpaired
    assert comparison.same.tolist() == [True, False]


def test_near_ties_may_come_in_either_order() -> None:
    twin = (C[0], B[1] + 5e-4, B[2])
    comparison = detections(outputs([A, twin, B]), outputs([A, B, twin]))
    assert comparison.differences == {"box": 0, "score": 0, "unpaired": 0}


def test_near_ties_for_the_last_place_may_fall_either_way() -> None:
    twin = (D[0], C[1] + 5e-4, D[2])
    assert detections(outputs([A, B, twin]), outputs([A, B, C])).same.all()
    clear = (D[0], C[1] + 0.01, D[2])
    assert detections(outputs([A, B, clear]), outputs([A, B, C])).differences["unpaired"] == 2
    roomy = detections(outputs([A, B, twin], room=4), outputs([A, B, C], room=4))
    assert roomy.differences["unpaired"] == 2  # there was a place for both


def test_a_score_at_the_threshold_may_fall_either_way() -> None:
    edge = (C[0], 0.2504, C[2])
    for images in (([A, edge], [A]), ([A], [A, edge])):
        assert detections(outputs(images[0]), outputs(images[1])).same.all()
    below = (C[0], 0.24, C[2])
    assert detections(outputs([A, below]), outputs([A])).differences["unpaired"] == 1


def test_probabilities_differ_by_their_largest() -> None:
    comparer = COMPARERS["classify"]
    served = {"probabilities": np.array([[0.5, 0.5], [0.2, 0.8]], np.float32)}
    expected = {"probabilities": np.array([[0.4, 0.6], [0.2, 0.8]], np.float32)}
    comparison = comparer.compare(served, expected, {"probability": 1e-5}, {})
    assert comparison.differences == {"probability": pytest.approx(0.1)}
    assert comparison.same.tolist() == [False, True]


def test_openvino_floats_are_bf16_where_the_cpu_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tolerances = COMPARERS["classify"].tolerances
    for flags, like in ((("amx_bf16",), "bf16"), (("avx2",), "float32")):
        monkeypatch.setattr(compare, "passport", lambda flags=flags: Passport("cpu", 1, flags))
        assert tolerances("openvino", "float32") == {"probability": compare.PROBABILITY[like]}
        assert tolerances("onnxruntime", "float32") == {"probability": compare.PROBABILITY["float32"]}
