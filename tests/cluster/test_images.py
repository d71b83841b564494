"""The images that `make images` built, run as a cluster runs them: uid 1000, a read-only root, /tmp to write to."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
import urllib3
from PIL import Image

from fettle import __version__
from fettle.export.manifest import Export
from fettle.publish import approve, promote
from fettle.runtimes import open_engine
from fettle.serve.environment import triton_url
from fettle.spec.serve import ServeConfig
from fettle.storage import open_store

IMAGES = ("step", "light", "triton-cpu")
RUN = ("docker", "run", "--rm", "--network", "host", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL")
STEP = "import cv2, kfp.kubernetes, nncf, onnxruntime, openvino, torch, torchvision, ultralytics, fettle.steps.train"
LIGHT = "import minio, tritonclient.grpc, tritonclient.http, fettle.publish, fettle.serve.beside, fettle.serve.gallery"
Maker = Callable[..., Export]


def tag(image: str) -> str:
    return f"fettle/{image}:{__version__}"


def run(image: str, *command: str, options: tuple[str, ...] = ()) -> str:
    whole = [*RUN, *options, tag(image), *command]
    return subprocess.run(whole, check=True, capture_output=True, text=True, timeout=300).stdout


@pytest.fixture(scope="module", autouse=True)
def _images_are_built() -> None:
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("needs a Docker engine")
    for image in IMAGES:
        if subprocess.run(["docker", "image", "inspect", tag(image)], capture_output=True).returncode:
            pytest.skip(f"needs {tag(image)}: run `make images`")


@contextmanager
def started(image: str, *command: str, environ: Mapping[str, str], options: tuple[str, ...] = ()) -> Iterator[None]:
    """A container for as long as the block lasts; its log is shown if the block fails."""
    name = f"fettle-test-{uuid4().hex[:8]}"
    variables = [f"--env={key}={value}" for key, value in environ.items()]
    subprocess.run([*RUN, "--detach", "--name", name, *variables, *options, tag(image), *command], check=True)
    try:
        yield
    finally:
        subprocess.run(["docker", "logs", "--tail", "60", name])
        subprocess.run(["docker", "kill", name], capture_output=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(answers: Callable[[], bool], *, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not answers():
        assert time.monotonic() < end, f"no answer in {seconds:g} s"
        time.sleep(0.2)


def responds(url: str) -> bool:
    try:
        return urllib3.request("GET", url, retries=False, timeout=2).status == 200
    except urllib3.exceptions.HTTPError:
        return False


@pytest.mark.parametrize("image", IMAGES)
def test_says_what_it_is(image: str) -> None:
    inspected = subprocess.run(["docker", "image", "inspect", tag(image)], check=True, capture_output=True, text=True)
    config = json.loads(inspected.stdout)[0]["Config"]
    assert config["User"] == "1000"
    labels = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()}
    assert labels["title"] == f"fettle/{image}"
    assert labels["version"] == __version__
    assert labels["licenses"]
    assert len(labels["revision"]) == 40


@pytest.mark.parametrize(
    ("image", "package"), [("step", "torch"), ("light", "minio"), ("triton-cpu", "nvidia-pytriton")]
)
def test_lists_what_is_in_it(image: str, package: str) -> None:
    listed = json.loads(run(image, "cat", "/usr/share/sbom/python.cdx.json"))
    assert listed["bomFormat"] == "CycloneDX"
    assert package in {each["name"] for each in listed["components"]}


def test_the_step_image_has_every_runtime() -> None:
    assert run("step", "python", "-c", f"{STEP}; print(torch.ones(2).sum().item())").splitlines()[-1] == "2.0"


def test_the_light_image_has_no_torch() -> None:
    code = f"{LIGHT}, importlib.util; print(importlib.util.find_spec('torch'))"
    assert run("light", "python", "-c", code).strip() == "None"
    refused = subprocess.run([*RUN, tag("light"), "fettle", "promote", "/tmp"], capture_output=True, text=True)
    assert refused.stderr.startswith("error: /tmp has no selection")


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("place", ["folder", "s3"])
def test_triton_serves_what_the_light_image_keeps(
    place: str, runtime: str, linear_export: Maker, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Promoted here; loaded by a keeper's container into a server's container, from a folder and from S3."""
    repository, environ, mount = str(tmp_path / "models"), {}, (f"--volume={tmp_path}:{tmp_path}:ro",)
    (tmp_path / "models").mkdir()
    if place == "s3":
        environ = request.getfixturevalue("minio_environ")
        repository = f"s3://models/{tmp_path.name}"
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    export = linear_export(seed=3)
    sign_off = approve(export, runtime, by="Ada", reason="test")
    store = open_store(repository, environ=environ)
    promote(store, export, runtime, model_name="m", config=ServeConfig(), sign_off=sign_off)
    http, grpc, health = free_port(), free_port(), free_port()
    server = (
        "tritonserver", f"--model-repository={triton_url(repository, environ)}", "--model-control-mode=explicit",
        f"--http-port={http}", f"--grpc-port={grpc}", "--allow-metrics=false",
        "--http-restricted-api=model-repository:fettle-access=secret",
    )  # fmt: skip
    keeper = ("fettle", "keep", "--repository", repository, "--endpoint", f"127.0.0.1:{http}", "--port", str(health))
    with (
        started("triton-cpu", *server, environ=environ, options=mount),
        started("light", *keeper, environ={**environ, "FETTLE_TRITON_TOKEN": "secret"}, options=mount),
    ):
        wait_until(lambda: responds(f"http://127.0.0.1:{health}/ready"))
        wait_until(lambda: responds(f"http://127.0.0.1:{http}/v2/models/m/ready"))
        images = np.random.default_rng(7).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
        for client, port in ((tritonclient.http, http), (tritonclient.grpc, grpc)):
            given = client.InferInput("image", images.shape, "UINT8")
            given.set_data_from_numpy(images)
            answer = client.InferenceServerClient(f"127.0.0.1:{port}").infer("m", [given]).as_numpy("probabilities")
            with open_engine(runtime, export.file, threads=1) as engine:
                np.testing.assert_allclose(answer, engine(images)[0], atol=2e-3)
        Image.fromarray(images[0]).save(tmp_path / "picture.png")
        question = ("fettle", "predict", str(tmp_path / "picture.png"), "--model=m", f"--endpoint=127.0.0.1:{http}")
        assert run("light", *question, options=mount).split()[0] in export.classes
