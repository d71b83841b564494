"""Detectors on a real Triton: the offline answers, in the photograph's pixels, whatever is promoted and rolled back."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fettle.cli.app import app
from fettle.data import Subset
from fettle.errors import DataError, ServeError
from fettle.export import set_thresholds
from fettle.export.manifest import Export
from fettle.publish import Promotion, rollback
from fettle.publish.repository import read_live
from fettle.runtimes import open_engine
from fettle.serve.compare import COMPARERS
from fettle.serve.confirm import Expectation, confirm
from fettle.serve.predictions import Detections
from fettle.serve.triton import LocalTriton
from fettle.storage import Store

Maker = Callable[..., Export]
Publish = Callable[..., Promotion]
NAMES = ("boxes", "scores", "labels", "count")
GREEN = (40, 220, 60)


def offline(
    export: Export, images: np.ndarray, folder: Path, runtime: str = "onnxruntime", **thresholds: float
) -> dict:
    """Return what the export answers with other thresholds, by output name."""
    folder.mkdir(parents=True)
    with open_engine(runtime, set_thresholds(export, folder, **thresholds).file, threads=1) as engine:
        return dict(zip(NAMES, engine(images), strict=True))


def expectation(outputs: dict, promotion: Promotion) -> Expectation:
    tolerances = COMPARERS["detect"].tolerances(promotion.runtime, "float32")
    return Expectation("detect", promotion.version, outputs, tolerances, promotion.thresholds)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_served_answers_are_the_offline_ones(
    triton: LocalTriton, publish: Publish, colour_detector: Maker, scenes: Subset, runtime: str, tmp_path: Path
) -> None:
    export, fitted = colour_detector(seed=3), {"confidence": 0.4, "max_detections": 4}
    promotion = publish(export, runtime, thresholds=fitted, max_batch=8)
    assert triton.load("m") == "1"
    expected = offline(export, scenes.images, tmp_path / "offline", runtime, **fitted)
    assert {0, 4} <= set(expected["count"].ravel().tolist())
    for protocol in ("http", "grpc"):
        with triton.client("m", protocol) as client:
            for rows in (slice(0, 1), slice(1, 6), slice(8, 16)):
                answer = client.infer(scenes.images[rows])
                for name in NAMES:
                    assert answer.outputs[name].dtype == expected[name].dtype
                    np.testing.assert_allclose(answer.outputs[name], expected[name][rows], atol=1e-3)
    told = confirm(
        [{"http": triton.http, "grpc": triton.grpc}], "m", scenes, export.classes, expectation(expected, promotion)
    )
    for check in told.checks.values():
        assert (check.images, check.agreement, check.differences["unpaired"]) == (16, 1, 0)
        assert check.differences["box"] <= 1
        assert check.requests < 16
    assert told.example.truth.split()[1] in export.classes
    assert told.words.endswith(f"{told.example.image} is {told.example.answer}.")


def test_other_thresholds_are_not_confirmed(
    triton: LocalTriton, publish: Publish, colour_detector: Maker, scenes: Subset, tmp_path: Path
) -> None:
    export = colour_detector(seed=3)
    promotion = publish(export, thresholds={"confidence": 0.6})
    triton.load("m")
    servers = [{"http": triton.http}]
    other = offline(export, scenes.images, tmp_path / "a", confidence=0.35)
    with pytest.raises(ServeError, match=r"unpaired \d+; allowed is unpaired 0\. \d+ of 16 images .*Roll back"):
        confirm(servers, "m", scenes, export.classes, expectation(other, promotion))
    longer = offline(export, scenes.images, tmp_path / "b", confidence=0.6, max_detections=20)
    with pytest.raises(ServeError, match=r"'boxes', not \(\d, 20, 4\)"):
        confirm(servers, "m", scenes, export.classes, expectation(longer, promotion))


def test_names_thresholds_and_room_follow_the_version(
    triton: LocalTriton, publish: Publish, repository: Store, colour_detector: Maker, scenes: Subset
) -> None:
    odd = ('"Riss"\n\\ über', "käse, {}", "\N{SNOWMAN}")
    publish(colour_detector(), thresholds={"max_detections": 2})
    triton.load("m")
    publish(colour_detector(classes=odd), "openvino", thresholds={"max_detections": 30})
    configuration = read_live(repository, "m")
    assert configuration is not None
    with triton.client("m") as client:

        def found() -> tuple[int, set[str]]:
            answers = client.predict(scenes.images)
            return max(map(len, answers)), {label for answer in answers for label in answer.labels}

        assert found() == (2, {"blue", "green", "red"})
        assert triton.load("m") == "2"
        most, labels = found()
        assert most > 10
        assert labels == set(odd)
        rollback(repository, "m")
        assert triton.load("m") == "1"
        assert found() == (2, {"blue", "green", "red"})


def photograph(width: int, height: int, box: tuple[int, int, int, int]) -> np.ndarray:
    """Return a grey photograph with a green rectangle."""
    photo = np.full((height, width, 3), 120, np.uint8)
    left, top, right, bottom = box
    photo[top:bottom, left:right] = GREEN
    return photo


@pytest.mark.parametrize("mode", ["squash", "pad", "crop"])
def test_boxes_come_back_in_the_photographs_pixels(
    triton: LocalTriton, publish: Publish, colour_detector: Maker, mode: str
) -> None:
    publish(replace(colour_detector(size=64, confidence=0.8), resize=mode), max_batch=2)
    triton.load("m")
    # One cell of the detector's grid in each: cells are 1/8 of the square that the mode makes of the photograph.
    places = {
        "squash": {(640, 320): (160, 200, 240, 240), (64, 64): (8, 16, 16, 24), (72, 1000): (27, 250, 36, 375)},
        "pad": {(640, 320): (160, 80, 240, 160), (64, 64): (8, 16, 16, 24), (500, 1000): (250, 250, 375, 375)},
        "crop": {(640, 320): (200, 80, 240, 120), (64, 64): (8, 16, 16, 24), (320, 1000): (80, 380, 120, 420)},
    }[mode]
    photos = [photograph(*size, box) for size, box in places.items()]
    with triton.client("m") as client:
        answers = client.predict(photos)
        alone = [client.predict([photo])[0] for photo in photos]
    for answer, single, ((width, _), box) in zip(answers, alone, places.items(), strict=True):
        assert answer.labels == ("green",)
        np.testing.assert_allclose(answer.boxes, [box], atol=1e-3 * width)
        np.testing.assert_array_equal(answer.boxes, single.boxes)


def test_a_turned_photograph_is_read_upright(
    triton: LocalTriton, publish: Publish, colour_detector: Maker, tmp_path: Path
) -> None:
    publish(colour_detector(size=64))
    triton.load("m")
    upright = photograph(200, 400, (25, 100, 50, 150))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    Image.fromarray(np.rot90(upright).copy()).save(tmp_path / "turned.png", exif=exif)
    with triton.client("m") as client:
        (answer,) = client.predict_files([tmp_path / "turned.png"])
    assert isinstance(answer, Detections)
    np.testing.assert_allclose(answer.boxes, [(25, 100, 50, 150)], atol=0.5)


def test_wrong_pictures_are_told_and_the_server_lives(
    triton: LocalTriton, publish: Publish, colour_detector: Maker, scenes: Subset, tmp_path: Path
) -> None:
    publish(colour_detector(size=64), max_batch=4)
    triton.load("m")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with triton.client("m") as client:
        for wrong in (np.zeros((1, 63, 64, 3), np.uint8), np.zeros((5, 64, 64, 3), np.uint8)):
            with pytest.raises(ServeError, match="m at"):
                client.infer(wrong)
        for photo in (np.zeros((8, 8, 3)), np.zeros((8, 8), np.uint8), np.zeros((8, 0, 3), np.uint8)):
            with pytest.raises(ServeError, match="A photograph must be uint8"):
                client.predict([scenes.images[0], photo])
        with pytest.raises(DataError, match=r"broken\.png"):
            client.predict_files([tmp_path / "broken.png"])
        with pytest.raises(DataError, match=r"absent\.png"):
            client.predict_files([tmp_path / "absent.png"])
        assert client.predict([]) == ()
        assert len(client.predict(scenes.images)) == 16


def strip_parameters(repository: Store, model: str, *names: str) -> None:
    """Make the live configuration one that has none of these parameters, as an early Fettle wrote it."""
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as pb

    key = f"{model}/config.pbtxt"
    config = text_format.Parse(repository.read(key).decode(), pb.ModelConfig())
    for name in names:
        del config.parameters[name]
    repository.write(key, text_format.MessageToString(config).encode())


def test_a_model_without_a_task_is_a_classifier_or_refused(
    triton: LocalTriton, publish: Publish, repository: Store, linear_export: Maker, colour_detector: Maker,
    images: np.ndarray, scenes: Subset,
) -> None:  # fmt: skip
    publish(linear_export(classes=("in", "Ordnung", "käse")), name="old")
    publish(colour_detector(), name="strange")
    for name in ("old", "strange"):
        strip_parameters(repository, name, "fettle.task", "fettle.classes", "fettle.resize")
        assert triton.load(name) == "1"
    for protocol in ("http", "grpc"):
        with triton.client("old", protocol) as client:
            assert client.predict(images[:1])[0].label in ("in", "Ordnung", "käse")
        with triton.client("strange", protocol) as client:
            with pytest.raises(ServeError, match=r"strange has no task .*`Client\.infer`"):
                client.predict(scenes.images)
            assert client.infer(scenes.images[:2]).outputs["boxes"].shape == (2, 10, 4)


def test_fettle_predict_prints_and_draws(
    triton: LocalTriton, publish: Publish, colour_detector: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    publish(colour_detector(size=64))
    triton.load("m")
    Image.fromarray(photograph(640, 320, (160, 200, 240, 240))).save("green part.png")
    Image.fromarray(photograph(100, 90, (0, 0, 0, 0))).save("empty.png")
    command = ["predict", "green part.png", "empty.png", "--model", "m", "--endpoint", triton.http]
    text = CliRunner().invoke(app, [*command, "--draw", "out"])
    assert text.exit_code == 0, text.output
    (label, score, box, image), empty = (line.split("\t") for line in text.output.splitlines())
    assert (label, box, image) == ("green", "160 200 240 240", "green part.png")
    assert float(score) > 0.9
    assert empty == ["-", "-", "-", "empty.png"]
    assert Image.open("out/green part.jpg").size == (640, 320)
    told = json.loads(CliRunner().invoke(app, [*command, "--json"]).output)
    assert told[0]["detections"][0]["box"] == pytest.approx([160, 200, 240, 240], abs=0.5)
    assert told[1] == {"image": "empty.png", "detections": [], "model": "m", "version": "1"}
