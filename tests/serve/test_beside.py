"""``fettle keep``: beside a Triton that others start, it loads what is promoted and says how it stands."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from fettle.errors import ServeError
from fettle.export.manifest import Export
from fettle.publish import Promotion, rollback
from fettle.serve.beside import keep_beside
from fettle.serve.ports import choose_ports
from fettle.serve.triton import LocalTriton
from fettle.storage import Store

Maker = Callable[..., Export]
Publish = Callable[..., Promotion]


class Keeping:
    """A running ``fettle keep`` and its HTTP service."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
        self.port, self.process, self._log = port, process, log

    def ask(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def until(self, path: str, code: int, text: str = "", seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while (found := self.ask(path))[0] != code or text not in found[1]:
            assert self.process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, (found, self._log.read_text())
            time.sleep(0.1)


@contextlib.contextmanager
def keeping(repository: Store, triton: LocalTriton, token: str, tmp_path: Path) -> Iterator[Keeping]:
    (port,) = choose_ports(None)
    command = [
        Path(sys.executable).with_name("fettle"), "keep", "--repository", repository.url,
        "--endpoint", triton.http, "--port", str(port),
    ]  # fmt: skip
    log = tmp_path / "keep.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stderr=stream, env=os.environ | {"FETTLE_TRITON_TOKEN": token})
    try:
        yield Keeping(port, process, log)
    finally:
        process.terminate()
        assert process.wait(30) == 0, log.read_text()


def test_it_follows_promotions_and_says_so(
    triton: LocalTriton, publish: Publish, repository: Store, linear_export: Maker, tmp_path: Path
) -> None:
    with keeping(repository, triton, triton._token, tmp_path) as keeper:
        keeper.until("ready", 200)  # nothing is promoted, so nothing is missing
        assert keeper.ask("live")[0] == 200
        assert keeper.ask("else")[0] == 404
        publish(linear_export(seed=1))
        keeper.until("metrics", 200, 'fettle_served_version{model="m"} 1')
        publish(linear_export(seed=2))
        keeper.until("metrics", 200, 'fettle_served_version{model="m"} 2')
        assert triton.probe("m") == "2"
        rollback(repository, "m")
        keeper.until("metrics", 200, 'fettle_served_version{model="m"} 1')
        for stub in psutil.Process(triton.pid).children(recursive=True):
            stub.kill()
        keeper.until("ready", 503)
        keeper.until("ready", 200)
        assert triton.probe("m") == "1"
        publish(linear_export(seed=3))
        repository.write("m/3/model.onnx", b"damaged")
        publish(linear_export(seed=4), name="other")
        keeper.until("metrics", 200, 'fettle_served_version{model="other"} 1')
        assert 'fettle_promoted_version{model="m"} 3' in keeper.ask("metrics")[1]
        assert keeper.ask("ready")[0] == 200  # the version before answers
        assert triton.probe("m") == "1"


def test_a_server_that_is_started_again_gets_its_models_back(
    publish: Publish, repository: Store, linear_export: Maker, tmp_path: Path
) -> None:
    publish(linear_export(seed=1))
    first = LocalTriton(repository.url)
    with contextlib.ExitStack() as stack:
        first.__enter__()
        keeper = stack.enter_context(keeping(repository, first, first._token, tmp_path))
        keeper.until("ready", 200)
        port = int(first.http.rpartition(":")[2])
        first.__exit__()
        keeper.until("ready", 503)
        assert keeper.ask("live")[0] == 200
        second = LocalTriton(repository.url, http_port=port)
        second._token = first._token
        stack.enter_context(second)
        keeper.until("ready", 200)
        assert second.probe("m") == "1"


def test_without_the_token_nothing_is_loaded_and_it_is_not_ready(
    triton: LocalTriton, publish: Publish, repository: Store, linear_export: Maker, tmp_path: Path
) -> None:
    publish(linear_export(seed=1))
    with keeping(repository, triton, "wrong", tmp_path) as keeper:
        keeper.until("metrics", 200, 'fettle_promoted_version{model="m"} 1')
        assert keeper.ask("ready")[0] == 503
        with pytest.raises(ServeError):
            triton.probe("m")


def test_an_occupied_port_is_told(repository: Store, triton: LocalTriton) -> None:
    port = int(triton.http.rpartition(":")[2])
    with pytest.raises(ServeError, match=f"`port` {port} cannot be used"):
        keep_beside(repository.url, endpoint=triton.http, port=port)
