"""What goes wrong with a run on a cluster is said as such, with an exit code."""

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from kubernetes.client import CoreV1Api, CustomObjectsApi

from components.cluster.kube import Kube

from .stack import CLI, NAMESPACE, TINY, Installation, eventually, fettle

RUN, DATA_STORE, HARDWARE = 1, 8, 10  # exit codes


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    return file


def test_out_of_memory_is_named(installation: Installation, spec: Path, tmp_path: Path) -> None:
    pod = "cluster.steps={ingest: {memory: 64Mi, memory_limit: 64Mi, retries: 0}}"
    done = fettle("submit", "--spec", str(spec), pod, cwd=tmp_path)
    assert done.returncode == RUN, done.stderr
    assert "Step ingest failed" in done.stderr
    assert "memory" in done.stderr.splitlines()[-1]


def test_a_gpu_that_no_node_has_is_said_within_a_minute_or_so(
    installation: Installation, spec: Path, tmp_path: Path
) -> None:
    start = time.monotonic()
    done = fettle("submit", "--spec", str(spec), "cluster.steps={ingest: {gpu: 1}}", cwd=tmp_path)
    assert done.returncode == HARDWARE, done.stderr
    assert "nvidia.com/gpu" in done.stderr.splitlines()[-1]
    assert time.monotonic() - start < 180  # the driver's pod, the patience, the machine's own slowness


def test_an_image_that_is_not_there_is_named(installation: Installation, spec: Path, tmp_path: Path) -> None:
    platform = {key.replace("_", "-"): value for key, value in asdict(installation.platform).items()}
    (tmp_path / "platform.yaml").write_text(json.dumps({**platform, "image": "fettle/absent:1"}))
    done = fettle("submit", "--spec", str(spec), "--platform", "platform.yaml", cwd=tmp_path)
    assert done.returncode == RUN, done.stderr
    assert "fettle/absent:1" in done.stderr.splitlines()[-1]


def test_a_run_that_somebody_deletes_is_not_followed_for_ever(
    installation: Installation, spec: Path, tmp_path: Path
) -> None:
    run_id = fettle("submit", "--no-wait", "--spec", str(spec), cwd=tmp_path).stdout.strip()
    eventually(lambda: installation.kube.pods(f"pipeline/runid={run_id}"), "the first pod of the run")
    CustomObjectsApi(installation.kube.api).delete_collection_namespaced_custom_object(
        "argoproj.io", "v1alpha1", NAMESPACE, "workflows", label_selector=f"pipeline/runid={run_id}"
    )
    done = fettle("submit", "--follow", run_id, "--spec", str(spec), cwd=tmp_path)
    assert done.returncode == RUN, done.stderr
    assert f"Run {run_id} was deleted" in done.stderr.splitlines()[-1]


@pytest.fixture
def stranger(kube: Kube, installation: Installation, tmp_path: Path) -> Iterator[Path]:
    """The kubeconfig of an account that may do nothing."""
    core, name = CoreV1Api(kube.api), "stranger"
    core.create_namespaced_service_account(NAMESPACE, {"metadata": {"name": name}})
    token = core.create_namespaced_service_account_token(name, NAMESPACE, {"spec": {"audiences": []}}).status.token
    settings = kube.api.configuration
    authority = base64.b64encode(Path(settings.ssl_ca_cert).read_bytes()).decode()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": settings.host, "certificate-authority-data": authority}}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
    }
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(config))
    yield file
    core.delete_namespaced_service_account(name, NAMESPACE)


def test_missing_rights_are_told(stranger: Path, spec: Path, tmp_path: Path) -> None:
    done = fettle("submit", "--spec", str(spec), cwd=tmp_path, env={"KUBECONFIG": str(stranger)})
    assert done.returncode == RUN, done.stderr
    (line,) = done.stderr.splitlines()
    assert "does not allow it" in line
    assert "configmaps" in line


def test_a_namespace_without_fettle_is_told(installation: Installation, spec: Path, tmp_path: Path) -> None:
    done = fettle("submit", "--spec", str(spec), namespace="default", cwd=tmp_path)
    assert done.returncode == RUN, done.stderr
    assert "There is no Fettle in namespace 'default'" in done.stderr


def test_wrong_keys_of_the_store_are_told_before_anything_runs(
    installation: Installation, spec: Path, tmp_path: Path
) -> None:
    core = installation.core
    core.create_namespaced_secret(
        NAMESPACE,
        {"metadata": {"name": "wrong"}, "stringData": {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "none"}},
    )
    try:
        images = tmp_path / "images"
        subprocess.run([CLI, "castings", str(images), "--count", "20"], check=True)
        platform = {key.replace("_", "-"): value for key, value in asdict(installation.platform).items()}
        (tmp_path / "platform.yaml").write_text(json.dumps({**platform, "s3-secret": "wrong"}))
        arguments = ["--platform", "platform.yaml", "dataset.path=images", "dataset.layout=imagefolder"]
        done = fettle("submit", "--spec", str(spec), *arguments, cwd=tmp_path)
    finally:
        core.delete_namespaced_secret("wrong", NAMESPACE)
    assert done.returncode == DATA_STORE, done.stderr
    assert "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in done.stderr
