"""``fettle submit``: from a spec to a version that every Triton pod has confirmed."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import urllib3

from fettle.card import read_card
from fettle.publish.repository import read_record
from fettle.serve.client import Client
from fettle.storage import Store
from pipelines.cluster.forward import forward
from pipelines.cluster.platform import reach
from pipelines.cluster.progress import place_of
from pipelines.cluster.service import Service, open_service

from .lineage import SERVICE, known_lineage
from .stack import Installation, eventually, fettle

SPEC = """
name: submitted
dataset: {path: data/castings, layout: castings, count: 120}
model: {family: resnet18, image_size: 32}
train: {preset: plain, epochs: 1}
recipes: {int8: [quantize]}
runtimes: [onnxruntime]
benchmark: {rounds: 3}
gates: {max_drop: 0.5, class_floor: null}
"""
STEPS = 7


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("submit")
    (folder / "fettle.yaml").write_text(SPEC)
    return folder


@pytest.fixture(scope="module")
def first(installation: Installation, home: Path) -> CompletedProcess[str]:
    done = fettle("submit", "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def service(installation: Installation) -> Iterator[Service]:
    with reach(installation.kube, installation.platform.kfp) as url:
        yield open_service(url)


def test_a_run_ends_with_a_version_that_every_triton_confirms(first: CompletedProcess[str], triton: str) -> None:
    told = json.loads(first.stdout)
    assert told["winner"]
    assert "gives the offline answers to all" in told["answer"]["words"]
    assert f"/{STEPS}] confirm-and-report" in first.stderr
    with Client(triton, "submitted") as client:
        assert client.describe().version == str(told["answer"]["version"])


def test_the_lineage_goes_from_the_served_version_to_the_data(
    installation: Installation, first: CompletedProcess[str], home: Path
) -> None:
    check_lineage(installation, home / json.loads(first.stdout)["run"])


def check_lineage(installation: Installation, run: Path) -> None:
    """See that ML Metadata leads from the confirmation of a run to the data, by the very cards that came home."""
    confirmation = read_card(run / "confirmation-submitted")
    cards = lineage(confirmation.brief())
    assert {"promotion", "selection", "export", "model", "dataset"} <= set(cards.values())
    places = json.loads((run / "cluster.json").read_text())["places"]
    with forward(installation.kube, *SERVICE) as address:
        known = known_lineage(address, places["confirmation"])
    assert cards.items() <= known.items()
    for artifact in run.iterdir():
        if artifact.is_dir():
            assert known.get((card := read_card(artifact)).digest, card.kind) == card.kind


def lineage(brief: Mapping[str, Any]) -> dict[str, str]:
    """Return the kind of a card and of all behind it, by digest."""
    found = {brief["digest"]: brief["kind"]}
    for parent in brief["parents"].values():
        found |= lineage(parent)
    return found


def test_the_report_tells_what_each_step_waited_for(first: CompletedProcess[str], home: Path) -> None:
    page = (home / json.loads(first.stdout)["report"]).read_text()
    told = re.search(r'<section id="time">.*?</section>', page, re.DOTALL)
    assert told
    rows = re.findall(r'<th scope="row">([^<]+)', told[0])
    assert "confirmation submitted" in rows
    assert "dataset castings" in rows or "came from the cache" in told[0]  # of an earlier session of tests


def test_what_a_person_approves_is_promoted_and_rolled_back(
    installation: Installation, store: Store, triton: str, first: CompletedProcess[str], home: Path
) -> None:
    before, run = json.loads(first.stdout)["answer"]["version"], "runs/submitted/latest"
    manual = fettle("submit", "--json", "serve.approve=manual", cwd=home)
    assert manual.returncode == 0, manual.stderr
    assert json.loads(manual.stdout)["answer"] is None
    seen = json.loads((home / run / "cluster.json").read_text())["run_id"]
    loser = {"baseline-onnxruntime", "int8-onnxruntime"} - {json.loads(manual.stdout)["winner"]}
    words = ["--by", "Ada", "--reason", "I saw it", "--candidate", *loser]
    approved = fettle("approve", run, *words, cwd=home)
    assert approved.returncode == 0, approved.stderr

    done = fettle("promote", run, "--approval", "approval", "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("from the cache") == STEPS - 1, done.stderr
    told = json.loads(done.stdout)
    assert told["answer"]["version"] > before
    assert json.loads((home / run / "cluster.json").read_text())["run_id"] != seen
    record = read_record(store, "submitted", told["answer"]["version"])
    assert (record.sign_off.by, record.sign_off.candidate) == ("Ada", *loser)
    assert record.lineage["digest"] in lineage(read_card(home / run / "selection").brief())
    check_lineage(installation, home / run)

    back = fettle("rollback", "submitted", "--by", "Ada", cwd=home)
    assert (back.returncode, back.stdout) == (0, f"submitted {before}\n"), back.stderr
    assert back.stderr.count("Serving") == len(installation.pods("triton"))
    with Client(triton, "submitted") as client:
        assert client.describe().version == str(before)


def test_a_second_run_is_served_from_the_cache(first: CompletedProcess[str], home: Path) -> None:
    done = fettle("submit", "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("from the cache") == STEPS - 1, done.stderr  # what is served now is asked anew
    again, before = json.loads(done.stdout), json.loads(first.stdout)
    assert again["answer"]["version"] == before["answer"]["version"]


def test_images_are_uploaded_once(installation: Installation, service: Service, home: Path) -> None:
    for label, colour in (("ok", 1), ("bad", 200)):
        (home / "images" / label).mkdir(parents=True, exist_ok=True)
        for number in range(3):
            (home / "images" / label / f"{number}.png").write_bytes(bytes([colour, number]))
    dataset = ["dataset.path=images", "dataset.layout=imagefolder", "serve.approve=manual"]
    runs = [fettle("submit", "--no-wait", *dataset, cwd=home) for _ in range(2)]
    for run in runs:
        assert run.returncode == 0, run.stderr
        service.terminate(run.stdout.strip())
    assert "Uploading images: 6 of 6 files" in runs[0].stderr
    assert "nothing to upload" in runs[1].stderr


def test_a_step_whose_pod_is_killed_is_tried_again(installation: Installation, service: Service, home: Path) -> None:
    run_id = fettle("submit", "--no-wait", "dataset.count=400", cwd=home).stdout.strip()

    def ingest(attempt: int, phase: str) -> list[str]:
        pods = installation.kube.pods(f"pipeline/runid={run_id}")
        places = ((pod, place_of(pod)) for pod in pods if pod.status.phase == phase)
        return [
            pod.metadata.name
            for pod, place in places
            if place and (place.task, place.driver, place.attempt) == ("ingest", False, attempt)
        ]

    try:
        eventually(lambda: ingest(0, "Running"), "the first attempt")
        installation.core.delete_namespaced_pod(ingest(0, "Running")[0], installation.kube.namespace)
        eventually(lambda: ingest(1, "Succeeded"), "the second attempt")
    finally:
        service.terminate(run_id)


def test_a_schedule_starts_runs(installation: Installation, service: Service, home: Path) -> None:
    made = fettle("schedule", "--cron", "* * * * *", cwd=home)
    assert made.returncode == 0, made.stderr
    try:
        runs = service.client.list_runs
        eventually(
            lambda: [run for run in runs(page_size=50).runs if run.recurring_run_id == made.stdout.strip()],
            "a run of the schedule",
        )
    finally:
        service.client.delete_recurring_run(made.stdout.strip())  # its runs go with it


def test_a_port_forward_takes_many_connections(installation: Installation) -> None:
    name, _, port = installation.platform.kfp.partition(":")
    start = time.monotonic()
    with forward(installation.kube, name, int(port)) as address:
        for _ in range(50):
            with urllib3.PoolManager() as http:
                assert http.request("GET", f"http://{address}/apis/v2beta1/healthz").status == 200
    assert time.monotonic() - start < 120
