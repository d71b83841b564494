"""Step ``benchmark``: all candidates on this machine, interleaved."""

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from fettle import card
from fettle.card import Artifact
from fettle.data import Dataset, open_dataset
from fettle.errors import DataError, HardwareError, SpecError
from fettle.evaluate import results
from fettle.evaluate.contestants import CallableContestant, EngineContestant, open_contestant
from fettle.evaluate.latency import Contestant, interleave, summarize
from fettle.evaluate.results import Benchmark
from fettle.export import Export, open_export
from fettle.hardware import passport
from fettle.spec import BenchmarkConfig

log = logging.getLogger("fettle")


def benchmark(
    exports: Sequence[tuple[str, Path, str]],
    dataset: Path,
    out: Path,
    *,
    config: BenchmarkConfig,
    extra: Mapping[str, Callable[[np.ndarray], object]] | None = None,
) -> Artifact:
    """Time every candidate, turn by turn, each in a process of its own.

    Args:
        exports: Name of the candidate, its ``export`` artifact, its runtime; empty for the only one it was made for.
        dataset: ``dataset`` artifact whose test images are the input.
        out: Where the ``benchmark`` artifact is written.
        config: Batches, rounds, threads.
        extra: Functions of (N, S, S, 3) uint8 to time along with them, in this process.

    Raises:
        SpecError: If a name comes twice, or there is no candidate.
        ArtifactError: If an export cannot be loaded.
    """
    _check_names([name for name, _, _ in exports])
    data = open_dataset(dataset)
    opened = {name: _opened(path, runtime) for name, path, runtime in exports}
    parents = {name: card.read_card(path) for name, path, _ in exports} | {"dataset": data.artifact.card}
    settings = {"config": config.to_json(), "candidates": sorted(opened)}
    with card.create(out, kind="benchmark", name="benchmark", config=settings, parents=parents) as draft:
        measured = _measure(opened, data, config, extra or {})
        results.save(draft.path / results.BENCHMARK, measured)
        draft.summary.update({name: round(timing.p50_ms, 3) for name, timing in measured.candidates.items()})
    return Artifact.open(out, kind="benchmark", verify=False)


def _opened(path: Path, runtime: str) -> tuple[Export, str]:
    export = open_export(path)
    return export, runtime or export.runtimes[0]


def _measure(
    opened: Mapping[str, tuple[Export, str]],
    data: Dataset,
    config: BenchmarkConfig,
    extra: Mapping[str, Callable[[np.ndarray], object]],
) -> Benchmark:
    threads = config.threads or passport().cores
    batches = sorted({1, *config.batches})
    images = _images(data, batches[-1])
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(_saved(images))
        engines, skipped = _start(stack, opened, file, threads)
        contestants: dict[str, Contestant] = {**engines}
        contestants |= {name: CallableContestant(function, images) for name, function in extra.items()}
        log.info("benchmark: %d candidates, %d rounds, %d threads", len(contestants), config.rounds, threads)
        samples = interleave(contestants, batches=batches, rounds=config.rounds, on_round=_narrator(config.rounds))
        timings = {
            name: summarize(samples[name], size_mb=_size_mb(opened[name][0]), **engine.facts)
            for name, engine in engines.items()
        }
    return Benchmark(
        candidates=timings,
        threads=threads,
        rounds=config.rounds,
        batches=tuple(batches),
        hardware=passport().to_json(),
        skipped=skipped,
        extra={name: summarize(samples[name]) for name in extra},
    )


def _start(
    stack: contextlib.ExitStack, opened: Mapping[str, tuple[Export, str]], images: Path, threads: int
) -> tuple[dict[str, EngineContestant], dict[str, str]]:
    """Load every export; one whose hardware is not here is skipped with the reason."""
    engines, skipped = {}, {}
    for name, (export, runtime) in opened.items():
        options = export.runtime_options(runtime)
        worker = open_contestant(
            name, runtime=runtime, file=export.file, images=images, threads=threads, options=options
        )
        try:
            engines[name] = stack.enter_context(worker)
        except HardwareError as error:
            log.warning("benchmark: %s skipped: %s", name, error)
            skipped[name] = str(error)
    if not engines:
        raise HardwareError(f"No candidate can be measured on this machine: {'; '.join(skipped.values())}")
    return engines, skipped


def _narrator(rounds: int) -> Callable[[int], None]:
    """Return what tells a reader a few times how far the rounds are."""
    step = max(1, rounds // 3)

    def tell(done: int) -> None:
        if done % step == 0:
            log.info("benchmark: round %d of %d", done, rounds)

    return tell


def _check_names(names: Sequence[str]) -> None:
    if not names:
        raise SpecError("`exports` is empty: there is nothing to measure.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SpecError(f"`exports` names {', '.join(twice)} more than once: a candidate needs a name of its own.")


def _images(data: Dataset, count: int) -> np.ndarray:
    """Return ``count`` test images, repeated where there are fewer."""
    images = data.subset("test").images
    if not len(images):
        raise DataError(f"{data.artifact.path} has no test image: ingest it with `split.test` above 0.")
    return np.ascontiguousarray(images[np.arange(count) % len(images)])


@contextlib.contextmanager
def _saved(images: np.ndarray) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fettle-") as folder:
        file = Path(folder) / "images.npy"
        np.save(file, images)
        yield file


def _size_mb(export: Export) -> float:
    return sum(file.stat().st_size for file in export.files) / 1e6
