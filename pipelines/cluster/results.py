"""Bring the results of a run home: the report and the small artifacts behind it, as a local run leaves them."""

import json
import shutil
import tempfile
from collections.abc import Container, Mapping
from pathlib import Path

from components.cluster.addresses import in_store
from components.cluster.kube import Kube
from fettle.card import read_card
from fettle.errors import ArtifactError
from fettle.steps import object_path
from fettle.storage import Store, open_store

LAUNCHER = "kfp-launcher"  # ConfigMap of Kubeflow: where the artifacts of a namespace are
HEAVY = ("dataset", "model", "search", "export")  # kinds that stay in the store


def artifact_store(kube: Kube, environ: Mapping[str, str]) -> Store:
    """Return the store of a namespace's artifacts.

    Raises:
        ArtifactError: If Kubeflow says not where that is.
        StorageError: If the store cannot be opened.
    """
    root = (kube.config_map(LAUNCHER) or {}).get("defaultPipelineRoot", "")
    if address := in_store(root):
        return open_store(address, environ=environ)
    raise ArtifactError(f"ConfigMap {LAUNCHER}: defaultPipelineRoot must be minio:// or s3://, got {root!r}.")


def bring_home(store: Store, pipeline: str, run_id: str, objects: Path) -> tuple[Path, Mapping[str, str]]:
    """Fetch the report of a run, and the small artifacts that it tells of, into ``objects``.

    Args:
        store: Where the artifacts are.
        pipeline: Name of the pipeline.
        run_id: The run.
        objects: Folder of artifacts of local runs; what is there already is not fetched again.

    Returns:
        The report, and where each artifact is that it tells of.

    Raises:
        ArtifactError: If the run has no report, or it was altered.
        StorageError: If the store fails.
    """
    found = _find(store, f"{pipeline}/{run_id}", "places")
    places: Mapping[str, str] = json.loads(store.read(found))
    for url in places.values():
        fetch(store, url, objects, skip=HEAVY)
    return _fetch(store, found.removesuffix("places") + "out", objects), places


def fetch(store: Store, url: str, objects: Path, *, skip: Container[str] = ()) -> Path:
    """Fetch an artifact, unless it is there or its kind is among ``skip``; return its place among ``objects``.

    Raises:
        ArtifactError: If it is not in the store of this namespace, or no artifact.
        StorageError: If the store fails.
    """
    return _fetch(store, _key(store, url), objects, skip=skip)


def _find(store: Store, prefix: str, end: str) -> str:
    found = [name for name in store.list(prefix) if name.endswith(end)]
    if not found:
        raise ArtifactError(f"There is no {end} below {store.url}/{prefix}: the run made no report.")
    return max(found, key=store.modified)  # of several attempts the last


def _key(store: Store, url: str) -> str:
    address = in_store(url) or ""
    if not address.startswith(f"{store.url}/"):
        raise ArtifactError(f"{url} is not in {store.url}, where the artifacts of this namespace are.")
    return address.removeprefix(f"{store.url}/")


def _fetch(store: Store, key: str, objects: Path, *, skip: Container[str] = ()) -> Path:
    objects.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=objects, prefix=".") as folder:
        fresh = Path(folder) / "artifact"
        store.download(f"{key}/card.json", fresh / "card.json")
        card = read_card(fresh)
        target = object_path(objects, card.kind, card.digest)
        if card.kind in skip or target.is_dir():
            return target
        store.download(key, fresh)
        shutil.move(fresh, target)
    return target
