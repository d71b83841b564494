"""The step ``benchmark``, on real engines in their own processes."""

from pathlib import Path

import numpy as np
import pytest

from fettle.errors import ArtifactError, SpecError
from fettle.evaluate import results
from fettle.evaluate.results import Benchmark
from fettle.spec import BenchmarkConfig
from fettle.steps.benchmark import benchmark

CONFIG = BenchmarkConfig(rounds=3, batches=[1, 4], threads=1)


def test_measures_every_candidate_and_extra(make_export, castings_dataset: Path, tmp_path: Path) -> None:
    path = make_export()
    seen = []
    exports = [("baseline-onnxruntime", path, "onnxruntime"), ("baseline-openvino", path, "openvino")]
    made = benchmark(
        exports, castings_dataset, tmp_path / "out", config=CONFIG, extra={"eager": lambda x: seen.append(len(x))}
    )
    measured = results.load(made.path / results.BENCHMARK, Benchmark)
    assert list(measured.candidates) == [name for name, _, _ in exports]
    assert set(measured.extra) == {"eager"}
    assert set(seen) == {1, 4}
    assert measured.threads == 1
    for timing in measured.candidates.values():
        assert 0 < timing.p50_ms <= timing.p95_ms
        assert set(timing.throughput) == {1, 4}
        assert len(timing.round_ms[1]) == 3
        assert timing.load_ms > 0
        assert 0 < timing.memory_mb < 1000
        assert timing.size_mb == pytest.approx((path / "model.onnx").stat().st_size / 1e6)
    assert set(made.card.parents) == {"baseline-onnxruntime", "baseline-openvino", "dataset"}


def test_memory_is_that_of_the_candidate_alone(make_export, castings_dataset: Path, tmp_path: Path) -> None:
    """60 MB of weights show in the process that loads them, and only there, although this process is larger."""
    ballast = np.ones(40_000_000)
    thin, fat = make_export("baseline"), make_export("fat", weights=np.ones((3, 2)), padding=15_000_000)
    exports = [("baseline-onnxruntime", thin, "onnxruntime"), ("fat-onnxruntime", fat, "onnxruntime")]
    made = benchmark(exports, castings_dataset, tmp_path / "out", config=CONFIG)
    timings = results.load(made.path / results.BENCHMARK, Benchmark).candidates
    assert timings["baseline-onnxruntime"].memory_mb < 60
    assert timings["fat-onnxruntime"].memory_mb > timings["baseline-onnxruntime"].memory_mb + 50
    assert len(ballast)


def test_hardware_that_is_not_here_skips_the_candidate(make_export, castings_dataset: Path, tmp_path: Path) -> None:
    path = make_export()
    exports = [("baseline-onnxruntime", path, "onnxruntime"), ("baseline-tensorrt", path, "tensorrt")]
    made = benchmark(exports, castings_dataset, tmp_path / "out", config=CONFIG)
    measured = results.load(made.path / results.BENCHMARK, Benchmark)
    assert list(measured.candidates) == ["baseline-onnxruntime"]
    assert "tensorrt" in measured.skipped["baseline-tensorrt"].lower()


def test_refuses_a_name_twice_and_no_candidate(make_export, castings_dataset: Path, tmp_path: Path) -> None:
    one = ("baseline-onnxruntime", make_export(), "onnxruntime")
    with pytest.raises(SpecError, match="more than once"):
        benchmark([one, one], castings_dataset, tmp_path / "out", config=CONFIG)
    with pytest.raises(SpecError, match="empty"):
        benchmark([], castings_dataset, tmp_path / "out", config=CONFIG)
    assert not (tmp_path / "out").exists()


def test_an_altered_export_is_refused(make_export, castings_dataset: Path, tmp_path: Path) -> None:
    path = make_export()
    (path / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(ArtifactError, match="does not match its card"):
        benchmark([("baseline-onnxruntime", path, "onnxruntime")], castings_dataset, tmp_path / "out", config=CONFIG)
