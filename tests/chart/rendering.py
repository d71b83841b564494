"""The chart as Helm renders it: no cluster is needed for that."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

Object = dict[str, Any]
CHART = Path(__file__).parents[2] / "helm/fettle"
CASES = sorted(file.name.removesuffix("-values.yaml") for file in (CHART / "ci").glob("*-values.yaml"))
BUILT = [Path.home() / "go/bin", Path.home() / ".cache/fettle-cluster/bin"]
# An ordinary build of Helm, as `go install` makes it, takes a cluster for that of 2020.
KUBERNETES = "1.34.0"


def find(program: str) -> str:
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, BUILT)])
    found = shutil.which(program, path=path)
    if found is None:
        pytest.skip(f"{program} is not on PATH, nor in {' or '.join(map(str, BUILT))}")
    return found


@dataclass(frozen=True)
class Chart:
    """The chart, and the program that renders it."""

    helm: str

    def run(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [self.helm, *verb.split(), str(CHART), "--kube-version", KUBERNETES, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def render(self, case: str = "cpu", *, release: str = "fettle", **settings: object) -> list[Object]:
        """Return the objects of a case of ci/; ``store__enabled=False`` sets one more value."""
        done = self.run(
            f"template {release}",
            "--namespace=here",
            f"--values={CHART / 'ci' / f'{case}-values.yaml'}",
            *self.flags(settings),
        )
        assert done.returncode == 0, done.stderr
        return [found for found in yaml.safe_load_all(done.stdout) if found]

    def refuses(self, **settings: object) -> str:
        """Return what Helm says of settings that it must not take."""
        done = self.run("template fettle", *self.flags(settings))
        assert done.returncode != 0, f"{settings} were taken"
        return done.stderr

    @staticmethod
    def flags(settings: Mapping[str, object]) -> list[str]:
        return [f"--set-json={key.replace('__', '.')}={json.dumps(value)}" for key, value in settings.items()]


def pods(objects: Iterable[Object]) -> Iterator[tuple[Object, Object]]:
    """Yield each object that runs pods, and its pod template."""
    for found in objects:
        if found["kind"] == "Pod":
            yield found, found
        elif "template" in found.get("spec", {}):
            yield found, found["spec"]["template"]


def containers(template: Object) -> list[Object]:
    return [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]


def part(found: Object) -> str:
    return str(found["metadata"]["labels"]["app.kubernetes.io/component"])


def named(objects: Iterable[Object], kind: str, name: str) -> Object:
    return next(found for found in objects if (found["kind"], found["metadata"]["name"]) == (kind, name))
