"""Promotion and rollback under constant load: no request fails, and each is answered by a version that was live."""

import threading
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from fettle.data import Subset
from fettle.errors import FettleError
from fettle.export.manifest import Export
from fettle.publish import Promotion, rollback
from fettle.runtimes import open_engine
from fettle.serve.client import Protocol
from fettle.serve.triton import LocalTriton
from fettle.storage import Store

Maker = Callable[..., Export]
REQUESTS = 2_000


class Load(threading.Thread):
    """A client that asks without a pause and checks each answer against the version that gave it."""

    def __init__(
        self, triton: LocalTriton, protocol: Protocol, images: np.ndarray, expected: dict[str, dict[str, np.ndarray]]
    ) -> None:
        super().__init__()
        self.triton, self.protocol, self.images, self.expected = triton, protocol, images, expected
        self.stopped = threading.Event()
        self.answers, self.failures = Counter[str](), list[str]()

    def run(self) -> None:
        with self.triton.client("m", self.protocol) as client:
            number = 0
            while not self.stopped.is_set():
                number += 1
                rows = slice(number % 8, number % 8 + 1 + number % 4)
                try:
                    answer = client.infer(self.images[rows])
                except FettleError as error:
                    self.failures.append(str(error))
                    continue
                self.answers[answer.version] += 1
                for name, values in self.expected[answer.version].items():
                    found = answer.outputs[name]
                    if found.shape != values[rows].shape or not np.allclose(found, values[rows], atol=2e-3):
                        self.failures.append(f"version {answer.version} answered with another's {name}")


@pytest.mark.parametrize("runtimes", [("onnxruntime", "onnxruntime"), ("onnxruntime", "openvino")])
def test_promote_and_roll_back_under_load(
    triton: LocalTriton,
    publish: Callable[..., Promotion],
    repository: Store,
    linear_export: Maker,
    images: np.ndarray,
    runtimes: tuple[str, str],
) -> None:
    exports = [linear_export(seed=seed) for seed in (1, 2)]
    promote_and_roll_back(triton, publish, repository, exports, images, runtimes)


def test_detectors_with_room_for_more_or_fewer_under_load(
    triton: LocalTriton, publish: Callable[..., Promotion], repository: Store, colour_detector: Maker, scenes: Subset
) -> None:
    exports = [colour_detector(seed=seed, max_detections=room) for seed, room in ((1, 3), (2, 20))]
    promote_and_roll_back(triton, publish, repository, exports, scenes.images, ("onnxruntime", "openvino"))


def test_a_member_of_an_ensemble_is_replaced_under_load(
    triton: LocalTriton,
    publish: Callable[..., Promotion],
    repository: Store,
    ensemble_export: Maker,
    images: np.ndarray,
) -> None:
    exports = [ensemble_export(a=1, b=2, c=3), ensemble_export(a=1, b=4, c=3)]
    promote_and_roll_back(triton, publish, repository, exports, images, ("ensemble", "ensemble"))
    described = triton.client("m").describe()
    assert {name: each.version for name, each in described.members.items()} == {"a": "1", "b": "1", "c": "1"}


def promote_and_roll_back(
    triton: LocalTriton,
    publish: Callable[..., Promotion],
    repository: Store,
    exports: list[Export],
    images: np.ndarray,
    runtimes: tuple[str, str],
) -> None:
    expected = dict[str, dict[str, np.ndarray]]()
    for number, (export, runtime) in enumerate(zip(exports, runtimes, strict=True), 1):
        with open_engine(runtime, export.file, threads=1) as engine:
            names = [output.name for output in export.outputs]
            expected[str(number)] = dict(zip(names, engine(images), strict=True))
    publish(exports[0], runtimes[0])
    triton.load("m")
    clients = [Load(triton, protocol, images, expected) for protocol in ("http", "grpc") for _ in range(2)]
    for client in clients:
        client.start()
    try:
        time.sleep(1)
        publish(exports[1], runtimes[1])
        assert triton.load("m") == "2"
        time.sleep(1)
        rollback(repository, "m")
        assert triton.load("m") == "1"
        deadline = time.monotonic() + 120
        while sum(sum(client.answers.values()) for client in clients) < REQUESTS and time.monotonic() < deadline:
            time.sleep(0.1)
    finally:
        for client in clients:
            client.stopped.set()
        for client in clients:
            client.join()
    answers = sum((client.answers for client in clients), Counter[str]())
    assert [failure for client in clients for failure in client.failures] == []
    assert sum(answers.values()) >= REQUESTS
    assert answers["1"] > 0
    assert answers["2"] > 0
