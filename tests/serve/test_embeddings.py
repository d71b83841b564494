"""Embeddings on a real Triton: the offline points, and people who are enrolled and identified."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fettle import card
from fettle.cli.app import app
from fettle.errors import ServeError
from fettle.export import Export, open_export
from fettle.export.onnx import describe, export_onnx
from fettle.models import Architecture
from fettle.models.registry import build_model
from fettle.publish import Promotion
from fettle.runtimes import open_engine
from fettle.serve.gallery import Gallery, enroll, identify
from fettle.serve.triton import LocalTriton

Publish = Callable[..., Promotion]
PEOPLE = {"ada": (200, 40, 40), "bob": (40, 200, 40), "Zoë": (40, 40, 200)}


def make_export(folder: Path, seed: int) -> Export:
    architecture = Architecture("embed", "arcface", tuple(PEOPLE), 32, {"backbone": "test_resnet", "dimensions": 16})
    torch.manual_seed(seed)
    with card.create(folder, kind="export", name="baseline", config={"seed": seed}) as draft:
        made = describe(draft.path, architecture, recipe="baseline", resize="squash")
        export_onnx(build_model(architecture).eval(), architecture, made.file)
        made.save()
    return open_export(folder)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Two pictures of each person, of different sizes."""
    for name, colour in PEOPLE.items():
        (tmp_path / "people" / name).mkdir(parents=True)
        for index, side in enumerate((40, 64)):
            pixels = np.full((side, side, 3), colour) + np.random.default_rng(index).integers(-20, 20, (side, side, 1))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / "people" / name / f"{index}.png")
    return tmp_path / "people"


def test_served_embeddings_are_the_offline_ones(triton: LocalTriton, publish: Publish, tmp_path: Path) -> None:
    export = make_export(tmp_path / "export", 0)
    publish(export, thresholds={"similarity": 0.9}, max_batch=8)
    triton.load("m")
    images = np.random.default_rng(1).integers(0, 256, (9, 32, 32, 3), dtype=np.uint8)
    with open_engine("onnxruntime", export.file, threads=1) as engine:
        (expected,) = engine(images)
    for protocol in ("http", "grpc"):
        with triton.client("m", protocol) as client:
            assert client.describe().similarity == 0.9
            for rows in (slice(0, 1), slice(1, 9)):
                np.testing.assert_allclose(client.infer(images[rows]).outputs["embedding"], expected[rows], atol=1e-5)


def test_people_are_enrolled_and_identified(
    triton: LocalTriton, publish: Publish, people: Path, tmp_path: Path
) -> None:
    publish(make_export(tmp_path / "export", 0), thresholds={"similarity": 0.9})
    triton.load("m")
    gallery = tmp_path / "gallery.npz"
    options = ["--model", "m", "--endpoint", triton.http, "--gallery", str(gallery)]
    made = CliRunner().invoke(app, ["enroll", str(people), *options])
    assert made.exit_code == 0, made.output
    assert made.stdout.split("\t")[1:] == ["3 people", "6 pictures\n"]
    pictures = [str(people / name / "1.png") for name in PEOPLE]
    asked = CliRunner().invoke(app, ["identify", *pictures, *options])
    assert [line.split("\t")[0] for line in asked.stdout.splitlines()] == list(PEOPLE)
    grpc = [*options[:2], "--endpoint", triton.grpc, "--protocol", "grpc", *options[4:]]
    assert CliRunner().invoke(app, ["identify", *pictures, *grpc]).stdout == asked.stdout


def test_a_gallery_of_another_model_is_refused(
    triton: LocalTriton, publish: Publish, people: Path, tmp_path: Path
) -> None:
    publish(make_export(tmp_path / "a", 0))
    triton.load("m")
    pictures = {folder.name: sorted(folder.iterdir()) for folder in people.iterdir()}
    with triton.client("m") as client:
        known = enroll(client, pictures)
        publish(make_export(tmp_path / "b", 1))
        triton.load("m")
        for call in (lambda: identify(client, pictures["ada"], known), lambda: enroll(client, pictures, known)):
            with pytest.raises(ServeError, match=rf"made with model {known.model}, and m version 2 is .*Enroll anew"):
                call()
        assert isinstance(enroll(client, pictures), Gallery)


def test_a_model_without_embeddings_is_refused(
    triton: LocalTriton, publish: Publish, colour_detector: Callable[..., Export], people: Path
) -> None:
    publish(colour_detector())
    triton.load("m")
    with triton.client("m") as client, pytest.raises(ServeError, match="m is a model for detect, and gives no embedd"):
        enroll(client, {"ada": sorted((people / "ada").iterdir())})
