"""The local server: answers, refusals, deaths."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from fettle.errors import ServeError
from fettle.export.manifest import Export
from fettle.publish import Promotion, approve, promote, rollback
from fettle.runtimes import open_engine
from fettle.serve.client import Protocol
from fettle.serve.triton import LocalTriton
from fettle.spec.serve import ServeConfig
from fettle.storage import Store, open_store

Maker = Callable[..., Export]
Publish = Callable[..., Promotion]


def offline(export: Export, images: np.ndarray, runtime: str = "onnxruntime") -> np.ndarray:
    with open_engine(runtime, export.file, threads=1) as engine:
        return engine(images)[0]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_served_answers_are_the_offline_ones(
    triton: LocalTriton, publish: Publish, linear_export: Maker, images: np.ndarray, runtime: str
) -> None:
    export = linear_export(seed=3)
    publish(export, runtime)
    assert triton.load("m") == "1"
    expected = offline(export, images, runtime)
    for protocol in ("http", "grpc"):
        with triton.client("m", protocol) as client:
            for size in (1, 5, 16):
                answer = client.infer(images[:size])
                np.testing.assert_allclose(
                    answer.outputs["probabilities"], expected[:size], atol=2e-3 if runtime == "openvino" else 1e-6
                )
                assert answer.version == "1"
            prediction = client.predict(images[:1])[0]
            assert prediction.label == export.classes[expected[0].argmax()]
            assert prediction.probability == pytest.approx(expected[0].max(), abs=2e-3)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_client_waits_for_a_model(
    triton: LocalTriton, publish: Publish, linear_export: Maker, protocol: Protocol
) -> None:
    publish(linear_export(seed=3), "onnxruntime")
    later = threading.Timer(1.5, triton.load, ["m"])
    with triton.client("m", protocol) as client:
        with pytest.raises(ServeError, match="m at"):
            client.wait(0.1)
        later.start()
        client.wait(60)
        assert client.probe() == "1"
    later.join()


def test_labels_follow_the_version(
    triton: LocalTriton, publish: Publish, repository: Store, linear_export: Maker, images: np.ndarray
) -> None:
    publish(linear_export(seed=1, classes=("ok", "defective", "unsure")))
    triton.load("m")
    publish(linear_export(seed=1, classes=("in", "Ordnung", "käse")), "openvino")  # another backend, too
    with triton.client("m") as client:
        assert set(client.predict(images[:1])[0].probabilities) == {"ok", "defective", "unsure"}
        assert triton.load("m") == "2"
        assert set(client.predict(images[:1])[0].probabilities) == {"in", "Ordnung", "käse"}
        rollback(repository, "m")
        assert triton.load("m") == "1"
        assert set(client.predict(images[:1])[0].probabilities) == {"ok", "defective", "unsure"}


def test_a_bare_client_needs_nothing_of_ours(
    triton: LocalTriton, publish: Publish, linear_export: Maker, images: np.ndarray
) -> None:
    export = linear_export(seed=1)
    publish(export)
    triton.load("m")
    for module, endpoint in ((tritonclient.http, triton.http), (tritonclient.grpc, triton.grpc)):
        with module.InferenceServerClient(endpoint) as client:
            tensor = module.InferInput("image", [4, 8, 8, 3], "UINT8")
            tensor.set_data_from_numpy(images[:4])
            result = client.infer("m", [tensor]).as_numpy("probabilities")
            np.testing.assert_allclose(result, offline(export, images[:4]), atol=1e-6)
            top = module.InferRequestedOutput("probabilities", class_count=1)
            answer = client.infer("m", [tensor], outputs=[top]).as_numpy("probabilities").reshape(-1)
            assert [row.decode().split(":")[2] for row in answer] == [export.classes[row.argmax()] for row in result]


def test_wrong_requests_are_refused_and_the_server_lives(
    triton: LocalTriton, publish: Publish, linear_export: Maker, images: np.ndarray
) -> None:
    publish(linear_export(seed=1), max_batch=4)
    triton.load("m")
    wrong = {
        "shape": np.zeros((1, 9, 8, 3), np.uint8),
        "grey": np.zeros((1, 8, 8, 1), np.uint8),
        "rank": np.zeros((8, 8, 3), np.uint8),
        "empty": np.zeros((0, 8, 8, 3), np.uint8),
        "batch": np.zeros((5, 8, 8, 3), np.uint8),
        "dtype": np.zeros((1, 8, 8, 3), np.float32),
    }
    names = {np.dtype(np.uint8): "UINT8", np.dtype(np.float32): "FP32"}
    for module, endpoint in ((tritonclient.http, triton.http), (tritonclient.grpc, triton.grpc)):
        with module.InferenceServerClient(endpoint) as client:
            for array in wrong.values():
                tensor = module.InferInput("image", list(array.shape), names[array.dtype])
                tensor.set_data_from_numpy(array)
                with pytest.raises(InferenceServerException):
                    client.infer("m", [tensor])
            tensor = module.InferInput("picture", [1, 8, 8, 3], "UINT8")
            tensor.set_data_from_numpy(images[:1])
            with pytest.raises(InferenceServerException):
                client.infer("m", [tensor])
    with triton.client("m") as client:
        for array in wrong.values():
            with pytest.raises(ServeError):
                client.infer(array)
        assert len(client.predict(images)) == 16  # more than a batch goes in several
    triton.check()


def test_the_repository_api_is_restricted(triton: LocalTriton, publish: Publish, linear_export: Maker) -> None:
    publish(linear_export(seed=1))
    triton.load("m")
    for module, endpoint in ((tritonclient.http, triton.http), (tritonclient.grpc, triton.grpc)):
        with module.InferenceServerClient(endpoint) as client, pytest.raises(InferenceServerException):
            client.unload_model("m")
    assert triton.probe("m") == "1"


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_serving(
    triton: LocalTriton, publish: Publish, repository: Store, linear_export: Maker
) -> None:
    publish(linear_export(seed=1))
    triton.load("m")
    publish(linear_export(seed=2))
    repository.write("m/2/model.onnx", b"no model at all")
    with pytest.raises(ServeError, match=r"cannot load model 'm'.*ONNX Runtime"):
        triton.load("m")
    assert triton.probe("m") == "1"


def test_absent_models_are_refused(triton: LocalTriton) -> None:
    with pytest.raises(ServeError, match="absent"):
        triton.load("absent")
    with triton.client("absent") as client, pytest.raises(ServeError, match="absent"):
        client.infer(np.zeros((1, 8, 8, 3), np.uint8))


def test_a_killed_server_is_noticed(publish: Publish, repository: Store, linear_export: Maker) -> None:
    publish(linear_export(seed=1))
    with LocalTriton(repository.url) as triton:
        triton.load("m")
        os.kill(triton.pid, signal.SIGKILL)
        with triton.client("m") as client, pytest.raises(ServeError, match="No Triton answers"):
            for _ in range(100):
                client.infer(np.zeros((1, 8, 8, 3), np.uint8))
                time.sleep(0.05)
        with pytest.raises(ServeError, match=r"exit code -9(.|\n)*loaded 'm'"):
            for _ in range(100):  # its sockets close before it is gone
                triton.check()
                time.sleep(0.05)


def test_a_killed_model_process_is_noticed_and_brought_back(
    triton: LocalTriton, publish: Publish, linear_export: Maker
) -> None:
    publish(linear_export(seed=1))
    triton.load("m")
    for stub in psutil.Process(triton.pid).children(recursive=True):
        stub.kill()
    with pytest.raises(ServeError):
        triton.probe("m")
    assert triton.reload("m") == "1"


def test_nothing_is_left_behind(publish: Publish, repository: Store, linear_export: Maker) -> None:
    publish(linear_export(seed=1))
    with LocalTriton(repository.url) as triton:
        triton.load("m")
        server = psutil.Process(triton.pid)
        family = [server, *server.children(recursive=True)]
        scratch = triton._scratch
        assert len(family) > 1
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)
    assert not scratch.exists()
    assert not list(Path("/dev/shm").glob(f"{scratch.name}*"))


def test_an_occupied_port_is_told(repository: Store) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ServeError, match=f"Port {port} cannot be used"),
            LocalTriton(repository.url, http_port=port),
        ):
            pass


def test_s3_is_served_without_a_mirror(linear_export: Maker, minio_environ: dict[str, str]) -> None:
    environ = {**os.environ, **minio_environ}
    store = open_store("s3://models/serve/repo", environ=environ)

    def publish(export: Export) -> None:
        sign_off = approve(export, "onnxruntime", by="Ada", reason="test")
        promote(store, export, "onnxruntime", model_name="m", config=ServeConfig(), sign_off=sign_off)

    publish(linear_export(seed=1))
    with LocalTriton(store.url, environ=environ) as triton:
        assert triton.load("m") == "1"
        publish(linear_export(seed=2))
        assert triton.load("m") == "2"
        rollback(store, "m")
        assert triton.load("m") == "1"


def test_a_missing_repository_is_told(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="no model repository at"), LocalTriton(str(tmp_path / "absent")):
        pass


ORPHAN = """
import sys, time
from fettle.serve.triton import LocalTriton
with LocalTriton(sys.argv[1]) as triton:
    triton.load("m")
    print(triton.pid, flush=True)
    time.sleep(600)
"""


def test_it_ends_with_the_process_that_started_it(publish: Publish, repository: Store, linear_export: Maker) -> None:
    publish(linear_export(seed=1))
    with subprocess.Popen([sys.executable, "-c", ORPHAN, repository.url], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        server = psutil.Process(int(owner.stdout.readline()))
        family = [server, *server.children(recursive=True)]
        owner.kill()
    gone, alive = psutil.wait_procs(family, timeout=30)
    assert len(gone) > 1
    assert not alive


def test_the_response_cache_answers_repeated_requests(
    triton: LocalTriton, publish: Publish, linear_export: Maker, images: np.ndarray
) -> None:
    export = linear_export(seed=1)
    publish(export, response_cache=True)
    triton.load("m")
    with triton.client("m") as client:
        for _ in range(3):
            np.testing.assert_allclose(
                client.infer(images).outputs["probabilities"], offline(export, images), atol=1e-6
            )
        told = client.raw.get_inference_statistics("m")["model_stats"][0]["inference_stats"]
    assert int(told["cache_hit"]["count"]) == 2
