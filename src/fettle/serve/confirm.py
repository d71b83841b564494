"""Confirmation: the served model gives the offline answers, whatever the protocol, batch and load."""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from fettle.data import Subset
from fettle.errors import ServeError
from fettle.hardware import passport
from fettle.serve.client import Client, Protocol

SIZES = (1, 2, 3, 5, 8, 13)
# One engine on one machine was measured to give the same bits in any batch, save dynamic INT8, whose scales are
# taken over the whole batch. Other machines have other kernels, which round otherwise in the lower precisions.
TOLERANCES = {"float32": 1e-5, "fp16": 5e-3, "bf16": 1e-2, "int8": 3e-2}


@dataclass(frozen=True)
class ProtocolCheck:
    """All images through one protocol.

    Attributes:
        max_difference: Largest difference of a probability to the offline one.
        agreement: Share of images whose most probable class is the offline one.
        images_per_second: With the client and the server on this machine.
    """

    requests: int
    images: int
    max_difference: float
    agreement: float
    images_per_second: float


@dataclass(frozen=True)
class Example:
    """One image and what Triton said of it; ``truth`` is its label in the data set."""

    image: str
    truth: str
    label: str
    probability: float


@dataclass(frozen=True)
class Confirmation:
    """``confirmation.json``: what the served version answered."""

    words: str
    model: str
    version: int
    tolerance: float
    max_difference: float
    checks: Mapping[Protocol, ProtocolCheck]
    example: Example


def tolerance_of(runtime: str, precision: str) -> float:
    """Return how much a probability may differ; OpenVINO runs float models in bf16 where the CPU has it."""
    if runtime == "openvino" and precision == "float32" and passport().native_bf16:
        precision = "bf16"
    return TOLERANCES[precision]


def confirm(
    endpoints: Mapping[Protocol, str],
    model: str,
    subset: Subset,
    expected: np.ndarray,
    classes: Sequence[str],
    *,
    version: int,
    tolerance: float,
) -> Confirmation:
    """Send all images of ``subset`` through each protocol and compare with the ``expected`` probabilities.

    Args:
        endpoints: ``host:port`` by protocol.
        model: Name in the repository.
        subset: Images and labels.
        expected: (N, C) float32, computed offline in the same runtime.
        classes: Names by index.
        version: The version that must answer.
        tolerance: Largest allowed difference of a probability.

    Raises:
        ServeError: If a request fails, another version answers, or an answer differs by more.
    """
    checks = {
        protocol: check_protocol(
            endpoint, protocol, model, subset.images, expected, version=version, tolerance=tolerance
        )
        for protocol, endpoint in endpoints.items()
    }
    protocol, endpoint = next(iter(endpoints.items()))
    with Client(endpoint, model, protocol=protocol) as client:
        answer = client.predict(subset.images[:1])[0]
    example = Example(subset.paths[0], classes[subset.labels[0]], answer.label, answer.probability)
    worst = max(check.max_difference for check in checks.values())
    words = (
        f"{model} version {version} gives the offline answers to all {len(expected)} test images over "
        f"{' and '.join(checks)} (largest difference {worst:.1g}); {example.image} is {example.label} "
        f"({example.probability:.1%})."
    )
    return Confirmation(words, model, version, tolerance, worst, checks, example)


def check_protocol(
    endpoint: str,
    protocol: Protocol,
    model: str,
    images: np.ndarray,
    expected: np.ndarray,
    *,
    version: int,
    tolerance: float,
    concurrency: int = 8,
) -> ProtocolCheck:
    """Send every image in batches of mixed sizes from several threads and compare the answers.

    Args:
        endpoint: ``host:port``.
        protocol: ``http`` or ``grpc``.
        model: Name in the repository.
        images: (N, S, S, 3) uint8.
        expected: (N, C) float32 probabilities, computed offline in the same runtime.
        version: The version that must answer.
        tolerance: Largest allowed difference of a probability.
        concurrency: Threads with a connection each.

    Raises:
        ServeError: If a request fails, another version answers, or an answer differs by more.
    """
    with Client(endpoint, model, protocol=protocol) as client:
        batches = list(mixed_batches(len(images), client.max_batch))

    def work(mine: list[slice]) -> None:
        with Client(endpoint, model, protocol=protocol) as client:
            for rows in mine:
                answer = client.infer(images[rows])
                if answer.version != str(version):
                    raise ServeError(f"{model} at {endpoint}: version {answer.version} answers, not {version}.")
                answers[rows] = answer.probabilities

    answers, start = np.full(expected.shape, np.nan, np.float32), time.perf_counter()
    with ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(work, [batches[each::concurrency] for each in range(concurrency)]))
    seconds = time.perf_counter() - start
    check = ProtocolCheck(
        requests=len(batches),
        images=len(images),
        max_difference=float(np.abs(answers - expected).max()),
        agreement=float((answers.argmax(1) == expected.argmax(1)).mean()),
        images_per_second=round(len(images) / seconds, 1),
    )
    if not check.max_difference <= tolerance:  # not a number is no answer either
        raise ServeError(
            f"{model} version {version} over {protocol}: a probability differs by {check.max_difference:.2g} from the "
            f"offline one, {tolerance:.2g} is allowed ({check.agreement:.1%} of the labels agree). "
            "Roll back with `fettle rollback`."
        )
    return check


def mixed_batches(count: int, largest: int) -> Iterator[slice]:
    """Yield slices that cover ``count`` rows, in sizes that go round through :data:`SIZES` and ``largest``."""
    sizes = itertools.cycle(sorted({min(size, largest) for size in (*SIZES, largest)}))
    start = 0
    while start < count:
        end = min(start + next(sizes), count)
        yield slice(start, end)
        start = end
