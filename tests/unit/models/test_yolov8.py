"""YOLOv8: decoded as Ultralytics decodes, split without changing a bit, loaded without a pickle that could run code."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from fettle.errors import SpecError
from fettle.models import Architecture, build_model, load_model, save_model
from fettle.models.prunable import make_prunable
from fettle.models.registry import find_family

torch.set_num_threads(1)  # tiny images: a second thread only waits for the first
SIZE = 64


def architecture(*, classes: int = 3, pixels: int = SIZE, **options: object) -> Architecture:
    return Architecture("detect", "yolov8", tuple(map(str, range(classes))), pixels, options, (0, 0, 0), (1, 1, 1))


def make_model(**options: object) -> nn.Module:
    """A network whose norms and predictors have something to say, as after training."""
    torch.manual_seed(0)
    model = build_model(architecture(**options)).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    for predictor in model.predictors:
        nn.init.normal_(predictor.bias)
    return model


@torch.no_grad()
def answer(model: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    boxes, scores = model(torch.rand(2, 3, SIZE, SIZE))
    return boxes, scores


def test_boxes_and_scores_are_those_of_ultralytics() -> None:
    model = make_model()
    boxes, scores = answer(model)
    torch.manual_seed(1)
    with torch.no_grad():
        theirs, _ = model.network(torch.rand(2, 3, SIZE, SIZE))
    centre, extent = theirs[:, :2], theirs[:, 2:4]
    corners = torch.cat([centre - extent / 2, centre + extent / 2], 1).transpose(1, 2)
    assert boxes.shape == (2, (SIZE // 8) ** 2 + (SIZE // 16) ** 2 + (SIZE // 32) ** 2, 4)
    assert boxes.dtype == scores.dtype == torch.float32
    assert extent.std() > 1, "boxes that are all alike would prove nothing"
    torch.testing.assert_close(boxes, corners, atol=1e-4, rtol=0)
    torch.testing.assert_close(scores, theirs[:, 4:].transpose(1, 2), atol=1e-6, rtol=0)


def test_splitting_c2f_changes_no_bit() -> None:
    model = make_model()
    before = answer(model)
    split, rebuilt = make_prunable(model, architecture())
    assert [type(layer).__name__ for layer in split.network.model].count("SplitC2f") == 8
    assert not any(type(layer).__name__ == "C2f" for layer in split.network.model)
    assert all(torch.equal(*pair) for pair in zip(answer(split), before, strict=True))
    assert rebuilt.options == {"split_c2f": True}


def test_a_split_network_is_saved_and_trains_on(tmp_path: Path) -> None:
    model, split = make_prunable(make_model(), architecture())
    save_model(tmp_path, model, split)
    again, read = load_model(tmp_path)
    assert read == split
    assert make_prunable(again, read)[1] == split, "twice is once"
    assert all(torch.equal(*pair) for pair in zip(answer(again), answer(model), strict=True))
    assert set(again.train()(torch.rand(2, 3, SIZE, SIZE))) == {"boxes", "scores", "feats"}


def test_the_predictors_are_the_last_convolutions() -> None:
    model = make_model(classes=5)
    assert [layer.out_channels for layer in model.predictors] == [64] * 3 + [5] * 3


def test_the_family_takes_pixels_in_0_1() -> None:
    family = find_family("detect", "yolov8")
    assert (family.mean, family.std, family.weights) == ((0, 0, 0), (1, 1, 1), "coco")


@pytest.mark.parametrize(("size", "parameters"), [("n", 3_011_433), ("s", 11_136_761)])
def test_sizes(size: str, parameters: int) -> None:
    model = build_model(architecture(size=size))
    assert sum(value.numel() for value in model.parameters()) == parameters


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": "x"}, "`model.options.size` must be one of n, s, m, got 'x'"),
        ({"width": 3}, "`model.options` .*width"),
        ({"pixels": 100}, "multiple of 32 for yolov8, got 100"),
    ],
)
def test_what_does_not_fit_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build_model(architecture(**wrong))


def test_without_ultralytics_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from fettle.models.yolov8 import offline

    monkeypatch.setattr(offline, "find_spec", lambda _: None)
    with pytest.raises(SpecError, match=r"pip install 'fettle\[yolov8\]'"):
        offline.load.__wrapped__()


def test_weights_of_another_number_of_classes_keep_all_but_the_class_branch(tmp_path: Path) -> None:
    trained = make_model(classes=80)
    save_model(tmp_path, trained, architecture(classes=80))
    model = build_model(architecture(), weights=str(tmp_path / "model.safetensors"))
    theirs = trained.state_dict()
    same = {name for name, value in model.state_dict().items() if torch.equal(value, theirs[name])}
    assert all(".cv3." in name for name in set(theirs) - same)
    assert len(same) < len(theirs)
    assert "network.model.0.conv.weight" in same


def checkpoint(file: Path, classes: int) -> nn.Module:
    """Write what Ultralytics publishes: a pickle of the whole network in half precision."""
    from ultralytics.nn.tasks import DetectionModel

    network = make_model(classes=classes).network
    network.__class__ = DetectionModel
    torch.save({"epoch": -1, "model": network.half(), "ema": None, "train_args": {"lr0": 0.1}}, file)
    return network.float()


@pytest.mark.parametrize("classes", [3, 80])
def test_a_checkpoint_of_ultralytics_is_read_without_running_code(classes: int, tmp_path: Path) -> None:
    from fettle.models.yolov8.coco import load_checkpoint

    theirs = checkpoint(tmp_path / "yolov8n.pt", classes).state_dict()
    model = build_model(architecture())
    load_checkpoint(model.network, tmp_path / "yolov8n.pt")
    other = {name for name, value in model.network.state_dict().items() if not torch.equal(value, theirs[name])}
    assert bool(other) == (classes != 3)
    assert all(".cv3." in name for name in other)


class Payload:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (os.environ["FETTLE_PAYLOAD"],)


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fettle.models.yolov8.coco import load_checkpoint

    monkeypatch.setenv("FETTLE_PAYLOAD", str(tmp_path / "ran"))
    torch.save({"model": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(SpecError, match="no checkpoint of Ultralytics that can be read safely"):
        load_checkpoint(make_model().network, tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_a_download_that_fails_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(SpecError, match=r"`model.weights: coco` could not be downloaded \(no route to host\)"):
        build_model(architecture(), weights="coco")


def test_importing_it_changes_nothing_in_the_process(tmp_path: Path) -> None:
    """Its import would look up hosts, write into the home folder, and set threads, printing and functions of others."""
    script = """
        import os, socket
        import cv2, numpy, torch
        from PIL import Image

        def refuse(*arguments, **_):
            raise AssertionError(f"the net was asked: {arguments}")

        socket.getaddrinfo = socket.socket.connect = refuse
        def state():
            return dict(os.environ), torch.save, Image.open, numpy.get_printoptions(), cv2.getNumThreads()

        before = state()
        from fettle.models.yolov8 import offline
        offline.load()
        assert state() == before
    """
    home = tmp_path / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("YOLO", "XDG", "OMP"))}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**environment, "HOME": str(home)}, cwd=home, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert not [file for file in home.rglob("*") if "ltralytics" in file.name]
