"""One tiny run of the whole pipeline that the tests of this tier look at."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

FETTLE = Path(sys.executable).with_name("fettle")
ROOT = Path(__file__).parents[2]
SPEC = """
name: tiny
dataset: {path: castings, layout: castings, count: 160}
model: {family: resnet18, image_size: 32}
train: {preset: plain, epochs: 1, batch_size: 16, precision: float32}
recipes:
  int8: [quantize: {images: 16}]
gates: {max_drop: 0.5, class_floor: null}
benchmark: {rounds: 3, batches: [1, 4]}
serve: {max_batch: 4}
"""


@dataclass(frozen=True)
class Finished:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def cached(self) -> set[str]:
        return {line.split()[-4] for line in self.stderr.splitlines() if line.endswith("from the cache")}

    @property
    def ran(self) -> set[str]:
        heads = [line for line in self.stderr.splitlines() if line.startswith("[") and not line.endswith("cache")]
        return {line.split("]")[1].strip() for line in heads}


@dataclass(frozen=True)
class FirstRun:
    """A finished run: where it ran, how it ended, and the links to its artifacts."""

    folder: Path
    done: Finished
    artifacts: Path


def without_network() -> list[str]:
    """Return a prefix that leaves a command nothing but the loopback interface, where the kernel lets us."""
    prefix = ["unshare", "--net", "--map-root-user", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    usable = shutil.which("unshare") and shutil.which("ip")
    if usable and subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode == 0:
        return prefix
    return []


@pytest.fixture(scope="session")
def fettle():
    """Run ``fettle`` in a folder, cut off from the network where that is possible."""
    prefix = without_network()
    triton = os.environ.get("FETTLE_TRITON") or str(ROOT / ".venv-triton")

    def run(folder: Path, *arguments: str) -> Finished:
        environ = {**os.environ, "FETTLE_TRITON": triton, "NO_COLOR": "1", "COLUMNS": "160"}
        command = [*prefix, str(FETTLE), *arguments]
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
        return Finished(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def shell():
    """Run a script with ``fettle`` on PATH, cut off from the network where that is possible."""
    prefix = without_network()

    def run(script: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        triton = os.environ.get("FETTLE_TRITON") or str(ROOT / ".venv-triton")
        path = f"{FETTLE.parent}{os.pathsep}{os.environ['PATH']}"
        environ = {**os.environ, "FETTLE_TRITON": triton, "NO_COLOR": "1", "PATH": path, **variables}
        command = [*prefix, "bash", "-c", script]
        return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def run_spec(fettle):
    """Run a spec in a folder to its good end."""

    def run(folder: Path, spec: str) -> Finished:
        (folder / "fettle.yaml").write_text(spec)
        done = fettle(folder, "run")
        assert done.code == 0, done.stderr[-3000:]
        return done

    return run


@pytest.fixture(scope="session")
def first(run_spec, tmp_path_factory):
    """The finished run. A test may run more in its folder, and leaves what it found usable."""
    folder = tmp_path_factory.mktemp("pipeline")
    done = run_spec(folder, SPEC)
    return FirstRun(folder, done, (folder / "runs/tiny/latest").resolve())
