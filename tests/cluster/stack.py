"""What the tests of a cluster share: an installation, waiting, the command line."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kubernetes.client import CoreV1Api, V1Pod

from components.cluster.kube import Kube
from pipelines.cluster.platform import Platform, find_platform

ROOT = Path(__file__).parents[2]
CLI = str(Path(sys.executable).with_name("fettle"))
RELEASE = "fettle"
NAMESPACE = os.environ.get("FETTLE_NAMESPACE", "fettle-test")
TINY = """
name: tiny
dataset: {path: data/tiny, layout: castings, count: 120}
model: {family: resnet18, image_size: 32}
train: {preset: plain, epochs: 1}
runtimes: [onnxruntime]
gates: {max_drop: 0.5, class_floor: null}
benchmark: {rounds: 3, batches: [1]}
"""
RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}


@dataclass(frozen=True)
class Installation:
    """A release of the chart."""

    kube: Kube
    helm: str

    @property
    def core(self) -> CoreV1Api:
        return CoreV1Api(self.kube.api)

    @property
    def platform(self) -> Platform:
        return find_platform(self.kube)

    def run_helm(self, *arguments: str) -> str:
        command = [self.helm, "--namespace", self.kube.namespace, "--kube-context", self.kube.context, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def pods(self, component: str) -> list[V1Pod]:
        """Return the pods of a part that are not about to go."""
        found = self.kube.pods(f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component={component}")
        return [pod for pod in found if not pod.metadata.deletion_timestamp]


def eventually(condition: Callable[[], object], what: str, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds:.0f} s"
        time.sleep(1)


def fettle(
    *arguments: str, namespace: str = NAMESPACE, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of the CLI against the namespace."""
    command = [CLI, *arguments, "--namespace", namespace]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **(env or {})}, check=False
    )
