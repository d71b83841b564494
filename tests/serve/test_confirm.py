"""Step ``confirm``: from a data set to the answers of a real Triton, and what it must not let pass."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fettle import card
from fettle.errors import ArtifactError, ServeError
from fettle.evaluate import results
from fettle.evaluate.predictions import read_predictions
from fettle.evaluate.results import Candidate, GateVerdict, Selection
from fettle.export.manifest import Export
from fettle.publish import Promotion
from fettle.serve.confirm import Confirmation
from fettle.serve.ports import choose_ports
from fettle.serve.triton import LocalTriton
from fettle.spec import DatasetConfig, ServeConfig
from fettle.steps.confirm import confirm
from fettle.steps.ingest import ingest
from fettle.steps.promote import promote
from fettle.steps.validate import validate

Maker = Callable[..., Export]
SIZE = 32


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("castings")
    config = DatasetConfig(layout="castings", path=str(folder / "source"), count=120)
    return ingest(folder / "source", folder / "dataset", dataset=config, image_size=SIZE).path


@pytest.fixture
def serve(tmp_path: Path) -> ServeConfig:
    return ServeConfig(repository=str(tmp_path / "repository"), max_batch=8)


@pytest.fixture
def export(linear_export: Maker) -> Path:
    return linear_export(seed=3, size=SIZE, classes=("defective", "ok")).path


@pytest.fixture
def validations(export: Path, dataset: Path, tmp_path: Path) -> list[Path]:
    """Validations of one export in both runtimes."""
    names = ("onnxruntime", "openvino")
    return [validate(export, dataset, tmp_path / name, runtime=name).path for name in names]


def neighbours() -> tuple[int, int]:
    """Two free ports in a row: where HTTP is, an `endpoint` has gRPC on the next."""
    while True:
        with contextlib.suppress(ServeError):  # the next one may be anybody's
            (port,) = choose_ports(None)
            http, grpc = choose_ports(port, port + 1)
            return http, grpc


def promoted(validation: Path, export: Path, serve: ServeConfig, folder: Path) -> Path:
    told = results.load(validation / results.METRICS, results.Validation)
    row = Candidate(
        name=told.candidate, recipe="baseline", runtime=told.runtime, precision="float32",
        export=card.read_card(export).digest, scores={"accuracy": 0.9}, p50_ms=1, p95_ms=2,
        throughput={1: 1.0}, size_mb=1, memory_mb=None, load_ms=None, gates=(GateVerdict("max_drop", True, "Fine."),),
        thresholds=told.thresholds,
    )  # fmt: skip
    with card.create(folder / "selection", kind="selection", name="balanced") as draft:
        table = Selection(told.task, "balanced", row.name, row.name, "It wins.", (row,), (), ())
        results.save(draft.path / results.SELECTION, table)
    return promote(folder / "selection", [export], folder / "promotion", serve=serve, name="castings").path


@pytest.mark.parametrize("number", [0, 1])
def test_every_test_image_over_both_protocols(
    validations: list[Path], export: Path, dataset: Path, serve: ServeConfig, tmp_path: Path, number: int
) -> None:
    promotion = promoted(validations[number], export, serve, tmp_path)
    artifact = confirm(promotion, validations, dataset, tmp_path / "confirmation", serve=serve)
    told = results.load(tmp_path / "confirmation/confirmation.json", Confirmation)
    assert artifact.card.parents["validation"]["name"].endswith(("onnxruntime", "openvino")[number])
    count = len(read_predictions(validations[number])["truth_labels"])
    for protocol in ("http", "grpc"):
        check = told.checks[protocol]
        assert check.images == count
        assert check.requests < count  # in batches
        assert check.differences["probability"] <= told.tolerances["probability"]
    assert told.example.truth in ("defective", "ok")
    assert told.example.answer.startswith(("defective (", "ok ("))
    assert f"all {count} test images over http and grpc" in told.words


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_detector_with_its_fitted_thresholds(
    colour_detector: Maker,
    make_detection_dataset: Callable[..., Path],
    serve: ServeConfig,
    tmp_path: Path,
    runtime: str,
) -> None:
    dataset, export = make_detection_dataset(tmp_path / "dataset"), colour_detector(seed=5, cell=20, stride=4)
    validation = validate(export.path, dataset, tmp_path / "validation", runtime=runtime).path
    fitted = results.load(validation / results.METRICS, results.Validation).thresholds
    assert fitted["confidence"] != export.thresholds["confidence"]
    promotion = promoted(validation, export.path, serve, tmp_path)
    artifact = confirm(promotion, [validation], dataset, tmp_path / "confirmation", serve=serve)
    told = results.load(tmp_path / "confirmation/confirmation.json", Confirmation)
    assert set(told.checks) == {"http", "grpc"}
    for check in told.checks.values():
        assert (check.images, check.agreement, check.differences["unpaired"]) == (16, 1, 0)
        assert check.differences["box"] <= 1
        assert check.differences["score"] <= 1e-3
    assert told.example.truth != "nothing"
    assert told.words.endswith(f"{told.example.image} is {told.example.answer}.")
    assert artifact.card.summary["words"] == told.words
    record = json.loads((Path(serve.repository) / "castings/1/fettle.json").read_text())
    assert record["thresholds"] == dict(fitted)


def test_other_answers_are_refused(
    validations: list[Path], export: Path, dataset: Path, serve: ServeConfig, tmp_path: Path, linear_export: Maker
) -> None:
    promotion = promoted(validations[0], export, serve, tmp_path)
    done = results.load(promotion / "promotion.json", Promotion)
    other = linear_export(seed=4, size=SIZE, classes=("defective", "ok"))
    served = Path(serve.repository) / done.model / str(done.version) / "model.onnx"
    served.write_bytes(other.file.read_bytes())
    with pytest.raises(ServeError, match=r"differs from the offline answers by probability .*Roll back"):
        confirm(promotion, validations, dataset, tmp_path / "confirmation", serve=serve)
    assert not (tmp_path / "confirmation").exists()


def test_the_promoted_candidates_validation_is_needed(
    validations: list[Path], export: Path, dataset: Path, serve: ServeConfig, tmp_path: Path
) -> None:
    promotion = promoted(validations[0], export, serve, tmp_path)
    with pytest.raises(ArtifactError, match="No validation"):
        confirm(promotion, validations[1:], dataset, tmp_path / "confirmation", serve=serve)


def test_a_running_triton_is_confirmed_in_place(
    validations: list[Path], export: Path, dataset: Path, serve: ServeConfig, tmp_path: Path
) -> None:
    promotion = promoted(validations[0], export, serve, tmp_path)
    http, grpc = neighbours()
    with LocalTriton(serve.repository, http_port=http, grpc_port=grpc) as triton:
        triton.load("castings")
        config = serve.model_copy(update={"endpoint": triton.http})
        artifact = confirm(promotion, validations, dataset, tmp_path / "confirmation", serve=config)
    assert artifact.card.summary["version"] == 1


def test_a_running_triton_without_the_version_is_told(
    validations: list[Path], export: Path, dataset: Path, serve: ServeConfig, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("fettle.serve.remote.TIMEOUT", 2.0)
    promotion = promoted(validations[0], export, serve, tmp_path)
    config = serve.model_copy(update={"endpoint": "127.0.0.1:9"})
    with pytest.raises(ServeError, match=r"127\.0\.0\.1:9.*not version 1"):
        confirm(promotion, validations, dataset, tmp_path / "confirmation", serve=config)
