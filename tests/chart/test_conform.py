"""Kubeconform finds nothing to complain of: with the schemas of Kubernetes itself and of the Prometheus operator."""

import subprocess
from collections.abc import Callable, Sequence

import yaml

from .rendering import CHART, Chart, Object, named

Conform = Callable[[Sequence[Object]], subprocess.CompletedProcess[str]]


def test_objects_conform(conform: Conform, objects: Sequence[Object]) -> None:
    done = conform(objects)
    assert done.returncode == 0, done.stdout
    assert f"{len(objects)} resources" in done.stdout
    assert "Skipped: 0" in done.stdout


def test_resource_definitions_conform(conform: Conform) -> None:
    files = sorted((CHART / "crds").glob("*.yaml"))
    done = conform([yaml.safe_load(file.read_text()) for file in files])
    assert done.returncode == 0, done.stdout
    assert "9 resources" in done.stdout


def test_conforming_means_something(conform: Conform, chart: Chart) -> None:
    for kind, name in (("Service", "fettle-triton"), ("PrometheusRule", "fettle-monitoring")):
        wrong = named(chart.render("gpu"), kind, name)
        wrong["spec"]["sessionAffinty"] = "None"
        done = conform([wrong])
        assert done.returncode == 1
        assert "sessionAffinty" in done.stdout
