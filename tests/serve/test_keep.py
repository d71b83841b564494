"""``fettle serve``: follows the repository, revives its models, ends on a signal."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from fettle.errors import ServeError
from fettle.export.manifest import Export
from fettle.publish import Promotion, rollback
from fettle.publish.repository import live_version
from fettle.serve.client import Client
from fettle.serve.keep import keep_serving
from fettle.serve.keeper import Keeper
from fettle.serve.triton import LocalTriton
from fettle.storage import Store

Maker = Callable[..., Export]
Publish = Callable[..., Promotion]
PROGRAM = """
import sys
from fettle.serve.keep import keep_serving
def told(triton, versions):
    print(triton.http, triton.pid, flush=True)
keep_serving(sys.argv[1], http_port=None, grpc_port=None, metrics_port=None, every=0.2, on_ready=told)
"""


def eventually(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def test_it_follows_and_revives(triton: LocalTriton, publish: Publish, repository: Store, linear_export: Maker) -> None:
    publish(linear_export(seed=1))
    publish(linear_export(seed=1), name="other")
    keeper = Keeper(triton, repository, ())
    keeper.start()
    assert keeper.versions == {"m": "1", "other": "1"}
    publish(linear_export(seed=2))
    keeper.look()
    assert keeper.versions == {"m": "2", "other": "1"}
    rollback(repository, "m")
    publish(linear_export(seed=3), name="third")
    keeper.look()
    assert keeper.versions == {"m": "1", "other": "1", "third": "1"}
    for stub in psutil.Process(triton.pid).children(recursive=True):
        stub.kill()
    keeper.look()
    assert {name: triton.probe(name) for name in keeper.versions} == {"m": "1", "other": "1", "third": "1"}


def test_a_rollback_that_comes_right_after_a_promotion_is_not_missed(
    triton: LocalTriton, publish: Publish, repository: Store, linear_export: Maker
) -> None:
    class Slow:
        """A server that takes so long to load that somebody promotes meanwhile."""

        check, probe, reload = triton.check, triton.probe, triton.reload

        def load(self, model: str) -> str:
            if live_version(repository, model) == 1:
                publish(linear_export(seed=2))
            return triton.load(model)

    publish(linear_export(seed=1))
    keeper = Keeper(Slow(), repository)
    keeper.look()
    assert keeper.versions == {"m": "2"}
    keeper._triton = triton
    rollback(repository, "m")
    keeper.look()
    assert keeper.versions == {"m": "1"}


def test_a_broken_promotion_is_told_once_and_the_old_version_stays(
    triton: LocalTriton, publish: Publish, repository: Store, linear_export: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    publish(linear_export(seed=1))
    keeper = Keeper(triton, repository, ["m"])
    keeper.start()
    publish(linear_export(seed=2))
    repository.write("m/2/model.onnx", b"damaged")
    for _ in range(3):
        keeper.look()
    assert len([record for record in caplog.records if "cannot load" in record.message]) == 1
    assert triton.probe("m") == "1"


def test_nothing_promoted_is_told(repository: Store) -> None:
    with pytest.raises(ServeError, match="no promoted model"):
        keep_serving(repository.url, http_port=None, grpc_port=None, metrics_port=None)
    with pytest.raises(ServeError, match="no promoted model 'x'"):
        keep_serving(repository.url, only=["x"], http_port=None, grpc_port=None, metrics_port=None)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly(
    publish: Publish, repository: Store, linear_export: Maker, number: signal.Signals
) -> None:
    publish(linear_export(seed=1))
    command = [sys.executable, "-c", PROGRAM, repository.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        endpoint, pid = process.stdout.readline().split()
        with Client(endpoint, "m") as client:
            assert client.describe().image_shape == (8, 8, 3)
        family = psutil.Process(int(pid)).children(recursive=True)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert not psutil.pid_exists(int(pid))
    eventually(lambda: not any(each.is_running() for each in family), 5)


def test_a_dead_server_ends_it_with_an_error(publish: Publish, repository: Store, linear_export: Maker) -> None:
    publish(linear_export(seed=1))
    raised, ready = list[Exception](), threading.Event()
    pid = list[int]()

    def told(triton: LocalTriton, versions: object) -> None:
        pid.append(triton.pid)
        ready.set()

    def run() -> None:
        try:
            keep_serving(repository.url, http_port=None, grpc_port=None, metrics_port=None, every=0.2, on_ready=told)
        except ServeError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(60)
    os.kill(pid[0], signal.SIGKILL)
    thread.join(30)
    assert not thread.is_alive()
    assert "exit code -9" in str(raised[0])


def test_history_is_json_that_people_can_read(publish: Publish, repository: Store, linear_export: Maker) -> None:
    publish(linear_export(seed=1))
    rows = json.loads(Path(repository.url, "m/history.json").read_text())
    assert rows[0]["version"] == 1
    assert rows[0]["by"] == "Ada"
