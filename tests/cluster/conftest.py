"""An installation of the chart on the cluster of the current kube context; skipped with the reason where there is none.

FETTLE_NAMESPACE names the namespace (``fettle-test``). A release that is there is used and left; else one is installed,
under Pod Security *restricted*, and removed at the end.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from kubernetes.client import ApiException

from components.cluster.kube import ClusterError, Kube, connect
from fettle.storage import Store, open_store
from pipelines.cluster.forward import forward
from pipelines.cluster.store import store_environment

from .stack import NAMESPACE, RELEASE, RESTRICTED, Installation, eventually


@pytest.fixture(scope="session")
def kube() -> Kube:
    try:
        found = connect(namespace=NAMESPACE)
        found.config_map("kube-root-ca.crt")
    except ClusterError as error:
        pytest.skip(str(error))
    return found


@pytest.fixture(scope="session")
def installation(kube: Kube) -> Iterator[Installation]:
    helm = shutil.which("helm") or shutil.which("helm", path=str(Path.home() / "go/bin"))
    if helm is None:
        pytest.skip("helm is not on PATH")
    here = Installation(kube, helm)
    if RELEASE in [each["name"] for each in json.loads(here.run_helm("list", "--output=json"))]:
        yield here
        return
    namespace = {"metadata": {"name": NAMESPACE, "labels": RESTRICTED}}
    try:
        here.core.create_namespace(namespace)
    except ApiException as error:
        if error.status != 409:
            raise
    try:
        here.run_helm("install", RELEASE, "helm/fettle", "--wait", "--timeout=10m")
        yield here
    finally:
        here.run_helm("uninstall", RELEASE, "--wait", "--timeout=5m")
        eventually(lambda: not kube.pods(""), "all pods going with the release")
        here.core.delete_namespace(NAMESPACE)


@pytest.fixture
def store(installation: Installation) -> Iterator[Store]:
    """The model repository of the installation."""
    with store_environment(installation.kube, installation.platform) as environ:
        yield open_store(installation.platform.repository, environ=environ)


@pytest.fixture
def triton(installation: Installation) -> Iterator[str]:
    """``host:port`` that reaches the HTTP service of a ready Triton."""
    name, _, port = installation.platform.triton.partition(":")
    with forward(installation.kube, name, int(port)) as address:
        yield address


@pytest.fixture
def pod(installation: Installation) -> Iterator[Callable[[Sequence[str]], str]]:
    """Start a command in a pod of the light image, with the store's keys; return the pod's name."""
    made: list[str] = []

    def start(command: Sequence[str]) -> str:
        platform = installation.platform
        keys = [
            {"name": key, "valueFrom": {"secretKeyRef": {"name": platform.s3_secret, "key": key}}}
            for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        ]
        container = {
            "name": "main",
            "image": installation.pods("triton")[0].spec.containers[1].image,
            "command": list(command),
            "env": [
                *keys,
                {"name": "AWS_ENDPOINT_URL_S3", "value": platform.s3_endpoint},
                {"name": "AWS_REGION", "value": platform.s3_region},
                {"name": "HOME", "value": "/tmp"},
            ],
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        spec = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        }
        body = {"metadata": {"generateName": "test-", "labels": {"fettle-test": "true"}}, "spec": spec}
        created = installation.core.create_namespaced_pod(installation.kube.namespace, body)
        made.append(created.metadata.name)
        return str(created.metadata.name)

    yield start
    for name in made:
        installation.core.delete_namespaced_pod(name, installation.kube.namespace, grace_period_seconds=0)
