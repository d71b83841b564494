"""A real Triton; skipped with the reason where it is not installed."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from fettle.data import Subset, open_dataset
from fettle.errors import ServeError
from fettle.export.manifest import Export
from fettle.publish import Promotion, approve, promote
from fettle.serve.environment import find_triton
from fettle.serve.triton import LocalTriton
from fettle.spec.serve import ServeConfig
from fettle.storage import Store, open_store

Maker = Callable[..., Export]


@pytest.fixture(scope="session", autouse=True)
def _triton_is_installed() -> None:
    try:
        find_triton()
    except ServeError as error:
        pytest.skip(str(error))


@pytest.fixture
def repository(tmp_path: Path) -> Store:
    (tmp_path / "repository").mkdir()
    return open_store(tmp_path / "repository", environ={})


@pytest.fixture
def publish(repository: Store) -> Callable[..., Promotion]:
    """Promote an export, approved by a test."""

    def call(
        export: Export,
        runtime: str = "onnxruntime",
        *,
        name: str = "m",
        thresholds: Mapping[str, float] = MappingProxyType({}),
        **serve: object,
    ) -> Promotion:
        sign_off = approve(export, runtime, by="Ada", reason="test")
        config = ServeConfig(**serve)
        return promote(
            repository, export, runtime, model_name=name, config=config, sign_off=sign_off, thresholds=thresholds
        )

    return call


@pytest.fixture
def triton(repository: Store) -> Iterator[LocalTriton]:
    with LocalTriton(repository.url) as server:
        yield server


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def scenes(make_detection_dataset: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Subset:
    """Sixteen images of coloured rectangles, 64 px, some empty."""
    return open_dataset(make_detection_dataset(tmp_path_factory.mktemp("scenes") / "dataset")).subset("test")
