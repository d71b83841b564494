"""Confirmation: the served model gives the offline answers, whatever the protocol, batch and load."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from fettle.data import Subset
from fettle.errors import ServeError
from fettle.evaluate.predictions import Thresholds
from fettle.serve.client import Client, Protocol
from fettle.serve.compare import COMPARERS, Comparison, Outputs, Tolerances

SIZES = (1, 2, 3, 5, 8, 13)
# Measure -> how a difference of it is written.
UNITS: Mapping[str, str] = MappingProxyType(
    {"probability": "{:.1g}", "coordinate": "{:.1g}", "box": "{:.2g} px", "score": "{:.1g}", "unpaired": "{:.0f}"}
)


@dataclass(frozen=True)
class ProtocolCheck:
    """All images through one protocol; of several servers, the worst.

    Attributes:
        requests: To all servers.
        images: Sent to each.
        differences: The largest to the offline answers, by measure.
        agreement: Share of images whose labels are the offline ones.
        images_per_second: As one client sees it.
    """

    requests: int
    images: int
    differences: Mapping[str, float]
    agreement: float
    images_per_second: float


@dataclass(frozen=True)
class Example:
    """One image and what Triton said of it, in words; ``truth`` is what the data set says."""

    image: str
    truth: str
    answer: str


@dataclass(frozen=True)
class Confirmation:
    """``confirmation.json``: what the served version answered."""

    words: str
    model: str
    version: int
    task: str
    tolerances: Mapping[str, float]
    checks: Mapping[Protocol, ProtocolCheck]
    example: Example


@dataclass(frozen=True)
class Expectation:
    """The offline answers to a subset, and how near the served ones must be.

    Attributes:
        task: What the model does.
        version: The version that must answer.
        outputs: By name, each (N, ...), computed offline in the same runtime.
        tolerances: Largest allowed difference by measure.
        thresholds: Those of the served file.
    """

    task: str
    version: int
    outputs: Outputs
    tolerances: Tolerances
    thresholds: Thresholds = field(default_factory=dict)

    def compare(self, served: Outputs) -> Comparison:
        return COMPARERS[self.task].compare(served, self.outputs, self.tolerances, self.thresholds)

    def broken(self, differences: Mapping[str, float]) -> dict[str, float]:
        """Return what is beyond its tolerance; what is not a number is."""
        return {name: value for name, value in differences.items() if not value <= self.tolerances[name]}


def confirm(
    servers: Sequence[Mapping[Protocol, str]],
    model: str,
    subset: Subset,
    classes: Sequence[str],
    expected: Expectation,
) -> Confirmation:
    """Send all images of ``subset`` to each server by each protocol and compare the answers with the expected ones.

    Args:
        servers: ``host:port`` by protocol, of each.
        model: Name in the repository.
        subset: Images and the truth.
        classes: Names by index.
        expected: Answers to the images of ``subset``.

    Raises:
        ServeError: If a request fails, another version answers, or an answer differs by more.
    """
    checks = {
        protocol: _worst([check_protocol(server[protocol], protocol, model, subset, expected) for server in servers])
        for protocol in servers[0]
    }
    worst = {name: max(check.differences[name] for check in checks.values()) for name in expected.tolerances}
    example = _example(servers[0], model, subset, TRUTHS[expected.task](subset, classes))
    each = f" on each of {len(servers)} servers" if len(servers) > 1 else ""
    words = (
        f"{model} version {expected.version} gives the offline answers to all {len(subset)} test images over "
        f"{' and '.join(checks)}{each} (largest difference: {in_words(worst)}); {example.image} is {example.answer}."
    )
    return Confirmation(words, model, expected.version, expected.task, expected.tolerances, checks, example)


def check_protocol(
    endpoint: str, protocol: Protocol, model: str, subset: Subset, expected: Expectation, *, concurrency: int = 8
) -> ProtocolCheck:
    """Send every image in batches of mixed sizes from several threads and compare the answers.

    Args:
        endpoint: ``host:port``.
        protocol: ``http`` or ``grpc``.
        model: Name in the repository.
        subset: The images.
        expected: Answers to them.
        concurrency: Threads with a connection each.

    Raises:
        ServeError: If a request fails, another version answers, or an answer differs by more.
    """
    with Client(endpoint, model, protocol=protocol) as client:
        batches = list(mixed_batches(len(subset), client.describe().max_batch))

    def work(mine: list[slice]) -> None:
        with Client(endpoint, model, protocol=protocol) as client:
            for rows in mine:
                answer = client.infer(subset.images[rows])
                if answer.version != str(expected.version):
                    raise ServeError(
                        f"{model} at {endpoint}: version {answer.version} answers, not {expected.version}."
                    )
                _fill(answers, rows, answer.outputs, f"{model} version {answer.version}")

    answers = {name: np.empty_like(values) for name, values in expected.outputs.items()}
    start = time.perf_counter()
    with ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(work, [batches[each::concurrency] for each in range(concurrency)]))
    seconds = time.perf_counter() - start
    comparison = expected.compare(answers)
    if broken := expected.broken(comparison.differences):
        allowed = in_words({name: expected.tolerances[name] for name in broken})
        other = [path for path, same in zip(subset.paths, comparison.same, strict=True) if not same]
        raise ServeError(
            f"{model} version {expected.version} over {protocol} differs from the offline answers by "
            f"{in_words(broken)}; allowed is {allowed}. {len(other)} of {len(subset)} images have other labels"
            f"{f', such as {other[0]}' if other else ''}. Roll back with `fettle rollback`."
        )
    return ProtocolCheck(
        requests=len(batches),
        images=len(subset),
        differences=comparison.differences,
        agreement=float(comparison.same.mean()),
        images_per_second=round(len(subset) / seconds, 1),
    )


def _worst(checks: Sequence[ProtocolCheck]) -> ProtocolCheck:
    """Return what holds for all of several servers."""
    return ProtocolCheck(
        requests=sum(check.requests for check in checks),
        images=checks[0].images,
        differences={name: max(check.differences[name] for check in checks) for name in checks[0].differences},
        agreement=min(check.agreement for check in checks),
        images_per_second=min(check.images_per_second for check in checks),
    )


def in_words(differences: Mapping[str, float]) -> str:
    """Return differences by measure in words."""
    return ", ".join(f"{name} {UNITS[name].format(value)}" for name, value in differences.items())


def mixed_batches(count: int, largest: int) -> Iterator[slice]:
    """Yield slices that cover ``count`` rows, in sizes that go round through :data:`SIZES` and ``largest``."""
    sizes = itertools.cycle(sorted({min(size, largest) for size in (*SIZES, largest)}))
    start = 0
    while start < count:
        end = min(start + next(sizes), count)
        yield slice(start, end)
        start = end


def _fill(answers: Mapping[str, np.ndarray], rows: slice, outputs: Outputs, name: str) -> None:
    """Put the answer to some rows in its place."""
    for output, place in answers.items():
        found = outputs.get(output)
        if found is None or found.shape != place[rows].shape:
            got = "nothing" if found is None else found.shape
            raise ServeError(f"{name} answers {got} as {output!r}, not {place[rows].shape}: promote the model again.")
        place[rows] = found


def _example(endpoints: Mapping[Protocol, str], model: str, subset: Subset, truths: Sequence[str]) -> Example:
    """Ask about the first image that holds something."""
    row = next((row for row, truth in enumerate(truths) if truth != NOTHING), 0)
    protocol, endpoint = next(iter(endpoints.items()))
    with Client(endpoint, model, protocol=protocol) as client:
        answer = client.predict(subset.images[row : row + 1])[0]
    return Example(subset.paths[row], truths[row], answer.words)


def _label_truths(subset: Subset, classes: Sequence[str]) -> list[str]:
    return [classes[label] for label in subset.labels]


def _box_truths(subset: Subset, classes: Sequence[str]) -> list[str]:
    """Return how many boxes of each class an image has, such as ``2 pore, 1 scratch``."""
    counts = [Counter(subset.boxes.of(row)[1].tolist()) for row in range(len(subset))]
    return [
        ", ".join(f"{count} {classes[label]}" for label, count in sorted(each.items())) or NOTHING for each in counts
    ]


NOTHING = "nothing"
TRUTHS: Mapping[str, Callable[[Subset, Sequence[str]], list[str]]] = MappingProxyType(
    {"classify": _label_truths, "embed": _label_truths, "detect": _box_truths}
)
