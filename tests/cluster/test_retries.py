"""A training whose pod is lost goes on in the next one; trials are shared by the pods of several workers."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fettle.storage import open_store
from pipelines.cluster.platform import reach
from pipelines.cluster.progress import place_of
from pipelines.cluster.service import Service, open_service
from pipelines.cluster.store import store_environment

from .stack import TINY, Installation, eventually, fettle

EPOCHS = 40


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "fettle.yaml").write_text(TINY)
    return tmp_path


@pytest.fixture
def service(installation: Installation) -> Iterator[Service]:
    with reach(installation.kube, installation.platform.kfp) as url:
        yield open_service(url)


def pods_of(installation: Installation, run_id: str, task: str, attempt: int, *phases: str) -> list[str]:
    """Return the names of an attempt's pods that are in one of the phases."""
    found = ((pod, place_of(pod)) for pod in installation.kube.pods(f"pipeline/runid={run_id}"))
    return [
        pod.metadata.name
        for pod, place in found
        if place and (place.task, place.driver, place.attempt) == (task, False, attempt) and pod.status.phase in phases
    ]


def unfinished(installation: Installation) -> tuple[str, ...]:
    """Return what steps have left unfinished in the store."""
    with store_environment(installation.kube, installation.platform) as environ:
        return open_store(installation.platform.work, environ=environ).list()


def test_a_training_whose_pod_is_lost_goes_on_in_the_next(
    installation: Installation, service: Service, home: Path
) -> None:
    before = unfinished(installation)
    # 384 images, some seconds an epoch; a seed of its own, so that nothing comes from the cache.
    settings = [f"train.epochs={EPOCHS}", "dataset.count=640", f"train.seed={abs(hash(home)) % 10**6}"]
    run_id = fettle("submit", "--no-wait", *settings, cwd=home).stdout.strip()

    def said(attempt: int, *phases: str) -> str:
        pods = pods_of(installation, run_id, "train", attempt, *phases)
        return "\n".join(installation.kube.log(pods[0], lines=500)) if pods else ""

    try:
        # The copy follows each epoch by a second or two: that of the first is there when the third ends.
        eventually(lambda: f"epoch 3/{EPOCHS}" in said(0, "Running"), "the third epoch", 420)
        assert set(unfinished(installation)) - set(before)
        first = pods_of(installation, run_id, "train", 0, "Running")[0]
        installation.core.delete_namespaced_pod(first, installation.kube.namespace)
        eventually(lambda: said(1, "Running", "Succeeded").count("epoch ") > 0, "an epoch of the next attempt", 300)
        again = said(1, "Running", "Succeeded")
        assert "Going on with what an earlier attempt left" in again
        assert f"epoch 1/{EPOCHS}:" not in again
    finally:
        service.terminate(run_id)
        eventually(lambda: not pods_of(installation, run_id, "train", 1, "Running"), "the end of the run")


def test_workers_share_the_trials(installation: Installation, home: Path) -> None:
    before = unfinished(installation)
    settings = ["tune.trials=4", "tune.workers=2", "serve.approve=manual", f"tune.seed={abs(hash(home)) % 10**6}"]
    done = fettle("submit", "--json", *settings, cwd=home)
    assert done.returncode == 0, done.stderr
    run = home / json.loads(done.stdout)["run"]
    study = json.loads(next(run.glob("*/study.json")).read_text())
    assert [trial["number"] for trial in study["trials"]] == [0, 1, 2, 3]
    shares = [json.loads(file.read_text()) for file in run.glob("*/trials.json")]
    assert sorted(trial["number"] for share in shares for trial in share) == [0, 1, 2, 3], "each by one worker"
    assert set(unfinished(installation)) <= set(before), "what is done leaves nothing"
