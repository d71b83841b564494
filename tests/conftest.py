"""Tiers: a test belongs to the folder that it lies in; fixtures that several tiers share."""

import functools
import itertools
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import urllib3

from fettle import card
from fettle.data.boxes import Boxes, starts_of
from fettle.export.ensemble import Member, combine
from fettle.export.manifest import Export, Tensor, open_export
from fettle.storage import Store, open_store

from . import schemas

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "fettle-test", "AWS_SECRET_ACCESS_KEY": "fettle-test-secret"}
Conform = Callable[[Iterable[Mapping[str, Any]]], subprocess.CompletedProcess[str]]


def find_minio() -> str | None:
    return os.environ.get("MINIO") or find_program("minio")


def find_program(name: str) -> str | None:
    """Return where a program is: on PATH, or where ``go install`` puts it."""
    return shutil.which(name) or shutil.which(name, path=str(Path.home() / "go/bin"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def conform(tmp_path_factory: pytest.TempPathFactory) -> Conform:
    """Return a function that has kubeconform check objects against the schemas of Kubernetes and of what extends it."""
    kubeconform = find_program("kubeconform")
    if kubeconform is None:
        pytest.skip("kubeconform is not on PATH, nor in ~/go/bin")
    return functools.partial(schemas.conform, kubeconform, schemas.write_schemas(tmp_path_factory.mktemp("schemas")))


@pytest.fixture(scope="session")
def minio_environ(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start MinIO on a free loopback port; yield the variables that reach it. The bucket is ``models``."""
    binary = find_minio()
    if binary is None:
        pytest.skip("needs the MinIO server: put `minio` on PATH or its path into $MINIO")
    folder = tmp_path_factory.mktemp("minio")
    (folder / "models").mkdir()
    endpoint = f"http://127.0.0.1:{free_port()}"
    address, root = endpoint.removeprefix("http://"), {"MINIO_ROOT_USER": "fettle-test"}
    root["MINIO_ROOT_PASSWORD"] = CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
    command = [binary, "server", str(folder), "--address", address, "--console-address", "127.0.0.1:0", "--quiet"]
    with (folder.parent / "minio.log").open("wb") as log:
        server = subprocess.Popen(command, env={**os.environ, **root, "MINIO_UPDATE": "off"}, stdout=log, stderr=log)
    try:
        wait_until_live(endpoint, server)
        yield {"AWS_ENDPOINT_URL_S3": endpoint, **CREDENTIALS}
    finally:
        server.kill()
        server.wait()


def wait_until_live(endpoint: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert server.poll() is None, "MinIO ended while starting"
        try:
            if urllib3.request("GET", f"{endpoint}/minio/health/ready", retries=False, timeout=1).status == 200:
                return
        except urllib3.exceptions.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError("MinIO did not become ready in 30 s")


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A folder store and a store on a real MinIO, so that one suite runs over both."""
    if request.param == "folder":
        return open_store(tmp_path / "store", environ={})
    environ = request.getfixturevalue("minio_environ")
    return open_store(f"s3://models/{tmp_path.name}", environ=environ)


ExportMaker = Callable[..., Export]


@pytest.fixture(scope="session")
def linear_export(tmp_path_factory: pytest.TempPathFactory) -> ExportMaker:
    """Return a maker of tiny exports: softmax of a random linear map of the pixels; ``seed`` sets the weights."""

    def make(*, seed: int = 0, size: int = 8, classes: tuple[str, ...] = ("ok", "defective", "unsure")) -> Export:
        path = tmp_path_factory.mktemp("export") / "baseline"
        with card.create(path, kind="export", name="baseline", config={"seed": seed}) as draft:
            onnx.save(linear_model(seed, size, len(classes)), draft.path / "model.onnx")
            Export(
                path=draft.path,
                task="classify",
                classes=classes,
                recipe="baseline",
                format="onnx",
                precision="float32",
                runtimes=("onnxruntime", "openvino"),
                input=Tensor("image", "uint8", (size, size, 3)),
                outputs=(Tensor("probabilities", "float32", (len(classes),)),),
            ).save()
        return open_export(path)

    return make


@pytest.fixture(scope="session")
def ensemble_export(tmp_path_factory: pytest.TempPathFactory, linear_export: ExportMaker) -> ExportMaker:
    """Return a maker of ensembles of tiny exports, by their seeds; they vote in turn in either runtime."""

    def make(*, weights: tuple[float, ...] = (0.5, 0.3, 0.2), **seeds: int) -> Export:
        seeds = seeds or {"a": 1, "b": 2, "c": 3}
        runtimes = itertools.cycle(("onnxruntime", "openvino"))
        members = {name: Member(linear_export(seed=seed), next(runtimes)) for name, seed in seeds.items()}
        path = tmp_path_factory.mktemp("export") / "default"
        with card.create(path, kind="export", name="default", config={"seeds": seeds}) as draft:
            combine(members, dict(zip(seeds, weights, strict=True)), draft.path, recipe="default").save()
        return open_export(path)

    return make


def linear_model(seed: int, size: int, classes: int) -> onnx.ModelProto:
    pixels = size * size * 3  # the scale keeps softmax away from 0 and 1
    weights = np.random.default_rng(seed).normal(size=(pixels, classes)).astype(np.float32) / (36 * pixels**0.5)
    nodes = [
        onnx.helper.make_node("Cast", ["image"], ["pixels"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("Flatten", ["pixels"], ["row"]),
        onnx.helper.make_node("MatMul", ["row", "weights"], ["logits"]),
        onnx.helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, ["N", size, size, 3])
    answer = onnx.helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["N", classes])
    graph = onnx.helper.make_graph(
        nodes, "linear", [image], [answer], [onnx.numpy_helper.from_array(weights, "weights")]
    )
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


COLOURS = {"blue": (40, 60, 230), "green": (40, 220, 60), "red": (230, 50, 40)}
DetectionDatasetMaker = Callable[..., Path]


@pytest.fixture(scope="session")
def make_detection_dataset() -> DetectionDatasetMaker:
    """Return a maker of ``dataset`` artifacts of task ``detect``; see :func:`write_detection_dataset`."""
    return write_detection_dataset


def write_detection_dataset(
    folder: Path, *, count: int = 120, size: int = 64, classes: int = 3, seed: int = 0, most: int = 3
) -> Path:
    """Write a ``dataset`` artifact: rectangles on grey noise, a class a colour, every fifth image without any.

    A tiny network learns it in seconds. Three fifths of the ``count`` images train, the rest is in equal parts
    ``calib``, ``val`` and ``test``; the same arguments give the same digest.

    Args:
        folder: Where the artifact is written.
        count: Images in all.
        size: Side of the images in pixels, also of the photographs that they stand for.
        classes: Up to three.
        seed: Another one, other rectangles.
        most: Rectangles an image at most; none overlaps another.
    """
    generator, names = np.random.default_rng(seed), sorted(COLOURS)[:classes]
    scenes = [_scene(generator, size, classes, 0 if i % 5 == 4 else 1 + i % most) for i in range(count)]
    eighth = max(1, round(count * 2 / 15))
    splits = ["train"] * (count - 3 * eighth) + ["calib"] * eighth + ["val"] * eighth + ["test"] * eighth
    images = np.stack([scene[0] for scene in scenes])
    xyxy = np.concatenate([scene[1] for scene in scenes]).astype(np.float32)
    labels = np.concatenate([scene[2] for scene in scenes])
    areas = (xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1])
    boxes = Boxes(xyxy, labels, starts_of(np.array([len(scene[1]) for scene in scenes])), areas)
    held = np.repeat(splits, boxes.counts)
    counts = {
        split: {name: int(((held == split) & (labels == label)).sum()) for label, name in enumerate(names)}
        for split in dict.fromkeys(splits)
    }
    record = {"label": -1, "width": size, "height": size}
    records = [{"path": f"{i:04d}.png", "split": split, "sha256": f"{i:064x}"} for i, split in enumerate(splits)]
    index = {"task": "detect", "classes": names, "image_size": size, "resize": "squash", "counts": counts}
    with card.create(folder, kind="dataset", name="rectangles", config={"seed": seed, "count": count}) as draft:
        np.save(draft.path / "images.npy", images)
        boxes.save(draft.path)
        (draft.path / "records.jsonl").write_text("".join(json.dumps(record | each) + "\n" for each in records))
        moments = {"mean": [0.45] * 3, "std": [0.2] * 3}
        (draft.path / "dataset.json").write_text(json.dumps(index | {"statistics": moments}))
    return folder


def _scene(generator: np.random.Generator, size: int, classes: int, objects: int) -> tuple[np.ndarray, ...]:
    """Return an image (S, S, 3), the boxes (M, 4) and labels (M,) of the rectangles on it."""
    image = generator.integers(90, 150, (size, size, 1), dtype=np.uint8).repeat(3, axis=2)
    taken, boxes, labels = np.zeros((size, size), bool), [], []
    for _ in range(50):
        if len(boxes) == objects:
            break
        width, height = generator.integers(size // 5, size // 2, 2)
        left, top = generator.integers(0, size - width + 1), generator.integers(0, size - height + 1)
        area = (slice(top, top + height), slice(left, left + width))
        if taken[area].any():
            continue
        taken[area] = True
        labels.append(int(generator.integers(classes)))
        image[area] = np.clip(COLOURS[sorted(COLOURS)[labels[-1]]] + generator.normal(0, 8, (height, width, 3)), 0, 255)
        boxes.append((left, top, left + width, top + height))
    return image, np.array(boxes, np.float64).reshape(-1, 4), np.array(labels, np.int64)


@pytest.fixture(scope="session")
def colour_detector(tmp_path_factory: pytest.TempPathFactory) -> ExportMaker:
    """Return a maker of tiny detectors of coloured cells; ``seed`` sets their scores, the rest their thresholds."""

    def make(
        *,
        seed: int = 0,
        size: int = 64,
        cell: int = 8,
        stride: int = 8,
        classes: tuple[str, ...] = tuple(sorted(COLOURS)),
        **detections: object,
    ) -> Export:
        from fettle.export.suppression import add_suppression
        from fettle.export.thresholds import detection_outputs
        from fettle.spec import DetectionConfig

        config = DetectionConfig(**detections)
        path = tmp_path_factory.mktemp("export") / "baseline"
        with card.create(path, kind="export", name="baseline", config={"seed": seed, **detections}) as draft:
            model = add_suppression(colour_model(seed, size, cell, stride), config, image_size=size)
            onnx.save(model, draft.path / "model.onnx")
            Export(
                path=draft.path, task="detect", classes=classes, recipe="baseline", format="onnx", precision="float32",
                runtimes=("onnxruntime", "openvino"), input=Tensor("image", "uint8", (size, size, 3)),
                outputs=detection_outputs(config.max_detections),
                thresholds=config.model_dump(include={"confidence", "iou", "max_detections"}),
            ).save()  # fmt: skip
        return open_export(path)

    return make


def colour_model(seed: int, size: int, cell: int, stride: int) -> onnx.ModelProto:
    """Return candidates of a detector: cells of ``cell`` pixels, one each ``stride`` pixels, and boxes around them that
    score 0.9 times as much.

    A cell scores by how like its mean colour is to that of each class.
    """
    places = range(0, size - cell + 1, stride)
    corners = np.stack(np.meshgrid(places, places), axis=-1).reshape(-1, 2)
    boxes = np.concatenate([corners, corners + cell], axis=1).astype(np.float32)
    boxes = np.concatenate([boxes, boxes + np.float32([-1, -1, 1, 1])])[None]
    contrast = np.array([COLOURS[name] for name in sorted(COLOURS)], np.float32).T - 120
    noise = np.random.default_rng(seed).normal(scale=5, size=contrast.shape).astype(np.float32)
    weights = (contrast + noise) / 3000
    constants = {
        "weights": weights, "bias": -120 * weights.sum(0) - 2, "less": np.float32(0.9), "anchors": boxes,
        "rows": np.array([0, 3, -1]), "last": np.array([2]),
    }  # fmt: skip
    graph = onnx.parser.parse_graph(
        f"""colours (uint8[N, {size}, {size}, 3] image) =>
            (float[N, {2 * len(corners)}, 4] candidate_boxes, float[N, {2 * len(corners)}, 3] candidate_scores) {{
            pixels = Cast <to = 1> (image)
            planes = Transpose <perm = [0, 3, 1, 2]> (pixels)
            means = AveragePool <kernel_shape = [{cell}, {cell}], strides = [{stride}, {stride}]> (planes)
            columns = Reshape (means, rows)
            colours_ = Transpose <perm = [0, 2, 1]> (columns)
            products = MatMul (colours_, weights)
            logits = Add (products, bias)
            fine = Sigmoid (logits)
            coarse = Mul (fine, less)
            candidate_scores = Concat <axis = 1> (fine, coarse)
            best = ReduceMax (candidate_scores, last)
            nothing = Sub (best, best)
            candidate_boxes = Add (nothing, anchors)
        }}"""
    )
    graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
