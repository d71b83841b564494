"""Interleaving, with contestants that only keep a diary, and the processes that measure engines."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fettle.errors import ArtifactError, ServeError
from fettle.evaluate.contestants import CallableContestant, open_contestant
from fettle.evaluate.latency import MAX_CALLS, interleave, summarize


class Diary:
    """A contestant of known speed that writes its name down."""

    def __init__(self, name: str, seconds: float, diary: list[tuple[str, int, int]]) -> None:
        self.name, self.seconds, self.diary = name, seconds, diary

    def run(self, batch: int, calls: int) -> list[float]:
        self.diary.append((self.name, batch, calls))
        return [self.seconds * batch] * calls


def test_every_round_runs_everyone_once_in_a_new_order() -> None:
    diary: list[tuple[str, int, int]] = []
    contestants = {name: Diary(name, 0.01, diary) for name in "abc"}
    interleave(contestants, batches=[1, 4], rounds=20)
    turns = diary[-20 * 3 * 2 :]  # before them everyone is warmed up
    orders = []
    for start in range(0, len(turns), 6):
        names = [name for name, batch, _ in turns[start : start + 6] if batch == 1]
        assert sorted(names) == ["a", "b", "c"]
        assert [(name, batch) for name, batch, _ in turns[start : start + 6]] == [(n, b) for n in names for b in (1, 4)]
        orders.append("".join(names))
    assert len(set(orders)) > 3


def test_warms_up_before_it_measures() -> None:
    diary: list[tuple[str, int, int]] = []
    interleave({"a": Diary("a", 0.01, diary)}, batches=[1, 4], rounds=1)
    assert [(batch, calls) for _, batch, calls in diary[:2]] == [(1, 1), (4, 1)]


@pytest.mark.parametrize(("seconds", "calls"), [(1e-4, MAX_CALLS), (0.012, 5), (1.0, 3)])
def test_a_turn_is_short(seconds: float, calls: int) -> None:
    samples = interleave({"a": Diary("a", seconds, [])}, batches=[1], rounds=3)
    assert [len(turn) for turn in samples["a"][1]] == [calls] * 3


def test_summary_by_hand() -> None:
    turns = [[0.010, 0.010, 0.010], [0.020, 0.020, 0.020], [0.010, 0.010, 0.030]]
    timing = summarize({1: turns, 4: [[0.02], [0.04], [0.02]]}, size_mb=3.0)
    assert timing.p50_ms == pytest.approx(10)
    assert timing.p95_ms == pytest.approx(np.percentile(np.ravel(turns), 95) * 1e3)
    assert timing.p95_interval.low <= timing.p95_ms <= timing.p95_interval.high
    assert timing.throughput == pytest.approx({1: 100, 4: 200})
    assert timing.round_ms[4] == pytest.approx((5, 10, 5))
    assert (timing.calls, timing.best_throughput, timing.size_mb) == (9, pytest.approx(200), 3.0)


def test_a_callable_gets_batches_and_one_call_more_than_is_timed() -> None:
    seen: list[int] = []
    contestant = CallableContestant(lambda images: seen.append(len(images)), np.zeros((8, 4, 4, 3), np.uint8))
    assert len(contestant.run(4, 3)) == 3
    assert seen == [4] * 4


@pytest.fixture
def images(tmp_path: Path) -> Path:
    np.save(tmp_path / "images.npy", np.zeros((4, 32, 32, 3), np.uint8))
    return tmp_path / "images.npy"


def contestant(file: Path, images: Path):
    return open_contestant("x-onnxruntime", runtime="onnxruntime", file=file, images=images, threads=1, options={})


def test_a_process_that_dies_is_told_not_awaited(make_export, images: Path) -> None:
    with contestant(make_export() / "model.onnx", images) as engine:
        assert len(engine.run(2, 3)) == 3
        engine._process.kill()
        with pytest.raises(ServeError, match="x-onnxruntime ended with -9"):
            engine.run(2, 3)


def test_the_process_ends_with_the_context(make_export, images: Path) -> None:
    with contestant(make_export() / "model.onnx", images) as engine:
        pid = engine._process.pid
        assert len(os.sched_getaffinity(pid)) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_errors_cross_the_process(tmp_path: Path, images: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"garbage")
    with (
        pytest.raises(ArtifactError, match="cannot be loaded by ONNX Runtime"),
        contestant(tmp_path / "model.onnx", images),
    ):
        pass


def test_results_are_read_without_slow_imports() -> None:
    slow = "{'torch', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules)"
    code = f"import sys, fettle.evaluate.results, fettle.evaluate.select; print({slow})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
