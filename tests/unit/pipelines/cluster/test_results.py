"""Artifacts in the store of a namespace, by the addresses that Kubeflow gives them."""

from types import SimpleNamespace

import pytest

from fettle.card import create
from fettle.errors import ArtifactError
from pipelines.cluster.results import artifact_store, fetch


def kubeflow(root):
    return SimpleNamespace(config_map=lambda name: {"defaultPipelineRoot": root})


def test_an_artifact_is_fetched_by_what_kubeflow_calls_it(minio_environ, tmp_path):
    store = artifact_store(kubeflow("minio://models/v2/artifacts/"), minio_environ)
    with create(tmp_path / "made", kind="benchmark", name="benchmark") as made:
        (made.path / "benchmark.json").write_text("{}")
    store.upload(tmp_path / "made", "run/out")
    path = fetch(store, "minio://models/v2/artifacts/run/out", tmp_path / "objects")
    assert (path / "benchmark.json").read_text() == "{}"
    with pytest.raises(ArtifactError, match=r"minio://other/run/out is not in s3://models/v2/artifacts"):
        fetch(store, "minio://other/run/out", tmp_path / "objects")


def test_a_root_that_is_in_no_s3_store_is_refused():
    with pytest.raises(ArtifactError, match="must be minio:// or s3://, got 'gs://models'"):
        artifact_store(kubeflow("gs://models"), {})
