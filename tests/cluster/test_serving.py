"""Triton on a cluster: what is promoted is served, whatever happens to pods, the store and the release."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import AppsV1Api

from fettle.errors import ServeError, StorageError
from fettle.export.manifest import Export
from fettle.publish import Promotion, approve, history, promote, rollback
from fettle.publish.repository import live_version, read_record, verify_version, versions
from fettle.serve.client import Client
from fettle.spec.serve import ServeConfig
from fettle.storage import ConflictError, Store
from pipelines.cluster.forward import forward

from .stack import RELEASE, Installation, eventually

Maker = Callable[..., Export]
Start = Callable[[Sequence[str]], str]
MODEL = "linear"
LOAD = Path(__file__).with_name("load.py").read_text()


def publish(store: Store, export: Export) -> Promotion:
    sign_off = approve(export, "onnxruntime", by="Ada", reason="test")
    return promote(store, export, "onnxruntime", model_name=MODEL, config=ServeConfig(), sign_off=sign_off)


def answers(triton: str, version: int) -> bool:
    try:
        with Client(triton, MODEL) as client:
            return client.probe() == str(version)
    except ServeError:
        return False


@pytest.fixture
def live(store: Store, triton: str, linear_export: Maker) -> int:
    """Two versions, the second of which answers."""
    first, second = (publish(store, linear_export(seed=seed)) for seed in (11, 12))
    eventually(lambda: answers(triton, second.version), "the promoted version answering")
    assert second.version != first.version
    return second.version


@pytest.fixture
def switch_store(installation: Installation) -> Iterator[Callable[[bool], None]]:
    """Take the object store away at once, and bring it back; it is back at the end."""
    apps, name, namespace = AppsV1Api(installation.kube.api), f"{RELEASE}-minio", installation.kube.namespace

    def switch(on: bool) -> None:
        apps.patch_namespaced_stateful_set_scale(name, namespace, {"spec": {"replicas": int(on)}})
        if on:
            eventually(lambda: has_store(installation), "the store coming back")
            return
        for pod in installation.pods("minio"):
            installation.core.delete_namespaced_pod(pod.metadata.name, namespace, grace_period_seconds=0)
        eventually(lambda: not installation.kube.pods("app.kubernetes.io/component=minio"), "the end of the store")

    yield switch
    switch(True)


def has_store(installation: Installation) -> bool:
    statuses = [pod.status.conditions or [] for pod in installation.pods("minio")]
    return any(each.type == "Ready" and each.status == "True" for status in statuses for each in status)


def ended(installation: Installation, pod: str) -> bool:
    found: Any = installation.core.read_namespaced_pod(pod, installation.kube.namespace)
    return found.status.phase in ("Succeeded", "Failed")


def test_a_promotion_and_a_rollback_reach_every_pod(store: Store, triton: str, live: int) -> None:
    before = rollback(store, MODEL)
    eventually(lambda: answers(triton, before), "the rollback being served")
    rollback(store, MODEL, to=live)
    eventually(lambda: answers(triton, live), "the version before being served")


def test_a_pod_that_is_killed_is_replaced_by_one_that_serves_the_promoted_version(
    installation: Installation, triton: str, live: int
) -> None:
    (pod,) = installation.pods("triton")
    installation.core.delete_namespaced_pod(pod.metadata.name, installation.kube.namespace, grace_period_seconds=0)
    eventually(lambda: installation.pods("triton")[0].metadata.name != pod.metadata.name, "a new pod")
    eventually(lambda: answers(triton, live), "the new pod answering", 300)


def test_serving_goes_on_without_the_store_and_a_promotion_says_what_is_missing(
    installation: Installation, triton: str, live: int, switch_store: Callable[[bool], None], pod: Start
) -> None:
    switch_store(False)
    name = pod(["fettle", "rollback", MODEL, "--repository", installation.platform.repository])
    eventually(lambda: ended(installation, name), "the end of the rollback", 120)
    assert any("AWS_ENDPOINT_URL_S3" in line for line in installation.kube.log(name, lines=20))
    assert answers(triton, live)
    (server,) = installation.pods("triton")
    assert all(status.ready for status in server.status.container_statuses)


def test_a_store_that_goes_while_a_model_is_published_leaves_the_repository_whole(
    store: Store, triton: str, live: int, linear_export: Maker, switch_store: Callable[[bool], None]
) -> None:
    large = linear_export(seed=31, size=64, classes=tuple(f"class {number}" for number in range(2000)))  # 100 MB
    known = versions(store, MODEL)
    with ThreadPoolExecutor() as pool:
        tried = pool.submit(publish, store, large)
        while versions(store, MODEL) == known:  # until a number is claimed, and the upload begins
            assert not tried.done()
        switch_store(False)
        error = tried.exception(timeout=90)  # after some more tries
        assert isinstance(error, StorageError)
        assert "AWS_ENDPOINT_URL_S3" in str(error)
    assert answers(triton, live)

    switch_store(True)
    assert live_version(store, MODEL) == live
    verify_version(store, read_record(store, MODEL, live))
    again = publish(store, large)
    assert again.previous == live
    verify_version(store, read_record(store, MODEL, again.version))
    assert history(store, MODEL)[-1].version == again.version
    eventually(lambda: answers(triton, again.version), "the repeated promotion being served", 300)


def test_wrong_keys_are_told(installation: Installation, live: int, pod: Start) -> None:
    command = f"AWS_SECRET_ACCESS_KEY=wrong fettle rollback {MODEL} --repository {installation.platform.repository}"
    name = pod(["sh", "-c", command])
    eventually(lambda: ended(installation, name), "the end of the rollback", 120)
    said = "\n".join(installation.kube.log(name, lines=20))
    assert "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in said


def test_of_two_promoters_one_wins_and_the_other_says_so(
    store: Store, triton: str, live: int, linear_export: Maker
) -> None:
    exports = [linear_export(seed=seed) for seed in range(21, 25)]
    with ThreadPoolExecutor() as pool:
        tried = [pool.submit(publish, store, export) for export in exports]
    errors = [future.exception() for future in tried]
    assert all(error is None or isinstance(error, ConflictError) for error in errors), errors
    won = [future.result().version for future, error in zip(tried, errors, strict=True) if error is None]
    assert live_version(store, MODEL) in won
    eventually(lambda: answers(triton, live_version(store, MODEL) or 0), "the winner being served")


def test_nobody_loads_models_over_the_network(triton: str, live: int) -> None:
    request = urllib.request.Request(f"http://{triton}/v2/repository/models/{MODEL}/unload", data=b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=10)
    assert answers(triton, live)


def test_the_keeper_tells_prometheus_which_version_answers(installation: Installation, live: int) -> None:
    service = f"{RELEASE}-triton-pods"
    with (
        forward(installation.kube, service, 8003) as address,
        urllib.request.urlopen(f"http://{address}/metrics") as page,
    ):
        text = page.read().decode()
    assert f'fettle_served_version{{model="{MODEL}"}} {live}' in text


def test_an_upgrade_and_its_rollback_lose_no_request(installation: Installation, live: int, pod: Start) -> None:
    http = f"{RELEASE}-triton.{installation.kube.namespace}.svc:8000"
    loader = pod(["python", "-c", LOAD, http, http.replace(":8000", ":8001"), MODEL, "150"])
    eventually(lambda: "asking" in installation.kube.log(loader, lines=5), "the load")
    before = installation.pods("triton")[0].metadata.name
    installation.run_helm(
        "upgrade",
        RELEASE,
        "helm/fettle",
        "--reuse-values",
        "--set=triton.cacheBytes=33554432",
        "--wait",
        "--timeout=5m",
    )
    assert installation.pods("triton")[0].metadata.name != before
    installation.run_helm("rollback", RELEASE, "--wait", "--timeout=5m")
    assert not ended(installation, loader), "the load ended before the rollback did"
    eventually(lambda: ended(installation, loader), "the end of the load", 300)
    told = json.loads(installation.kube.log(loader, lines=1)[0])
    assert told["failures"] == []
    assert set(told["versions"]) == {str(live)}
    assert told["versions"][str(live)] > 100
