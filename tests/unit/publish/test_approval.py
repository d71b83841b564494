"""Who may say yes, and to what."""

from collections.abc import Callable

import pytest

from fettle.errors import ArtifactError, GateError, SpecError
from fettle.evaluate.results import Candidate, GateVerdict
from fettle.export.manifest import Export
from fettle.publish.approval import approve, approve_by_gates, check_sign_off, file_digests

Maker = Callable[..., Export]


def candidate(*gates: GateVerdict) -> Candidate:
    return Candidate(
        name="baseline-onnxruntime", recipe="baseline", runtime="onnxruntime", precision="float32", export="sha256:0",
        scores={"accuracy": 0.9}, p50_ms=1, p95_ms=2, throughput={1: 100.0}, size_mb=1,
        memory_mb=None, load_ms=None, gates=gates,
    )  # fmt: skip


def test_a_person_signs_the_files(linear_export: Maker) -> None:
    export = linear_export()
    sign_off = approve(export, "openvino", by="Ada", reason="looked at the mistakes")
    assert sign_off.files == file_digests(export)
    assert check_sign_off(sign_off, export, "openvino") is sign_off


@pytest.mark.parametrize(("by", "reason"), [("", "good"), ("  ", "good"), ("gates", "good"), ("Ada", " ")])
def test_a_sign_off_has_a_name_and_a_reason(linear_export: Maker, by: str, reason: str) -> None:
    with pytest.raises(SpecError):
        approve(linear_export(), "openvino", by=by, reason=reason)


def test_gates_sign_with_their_words(linear_export: Maker) -> None:
    sign_off = approve_by_gates(linear_export(), candidate(GateVerdict("max_drop", True, "Lost 0.1%, 1% asked.")))
    assert (sign_off.by, sign_off.reason) == ("gates", "Lost 0.1%, 1% asked.")


def test_a_failed_or_absent_gate_does_not_sign(linear_export: Maker) -> None:
    with pytest.raises(GateError, match="Lost 5%"):
        approve_by_gates(linear_export(), candidate(GateVerdict("max_drop", False, "Lost 5%, 1% asked.")))
    with pytest.raises(GateError, match="no gate report"):
        approve_by_gates(linear_export(), candidate())


def test_without_approval_nothing_goes(linear_export: Maker) -> None:
    with pytest.raises(GateError, match="not approved"):
        check_sign_off(None, linear_export(), "onnxruntime")


def test_approval_is_for_one_runtime(linear_export: Maker) -> None:
    export = linear_export()
    with pytest.raises(GateError, match="approved for openvino"):
        check_sign_off(approve(export, "openvino", by="Ada", reason="fine"), export, "onnxruntime")
    with pytest.raises(SpecError, match="tensorrt"):
        approve(export, "tensorrt", by="Ada", reason="fine")


def test_a_file_altered_after_approval_is_refused(linear_export: Maker) -> None:
    export = linear_export()
    sign_off = approve(export, "onnxruntime", by="Ada", reason="fine")
    export.file.write_bytes(export.file.read_bytes() + b" ")
    with pytest.raises(ArtifactError, match=r"model\.onnx was altered after Ada approved"):
        check_sign_off(sign_off, export, "onnxruntime")
