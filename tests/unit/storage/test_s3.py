"""What only a service can refuse."""

import time

import pytest

from fettle.errors import StorageError
from fettle.storage import open_store


def test_wrong_secret_is_explained(minio_environ: dict[str, str]) -> None:
    with pytest.raises(StorageError, match="AWS_SECRET_ACCESS_KEY"):
        open_store("s3://models/x", environ={**minio_environ, "AWS_SECRET_ACCESS_KEY": "wrong-secret"})


def test_unknown_key_is_explained(minio_environ: dict[str, str]) -> None:
    with pytest.raises(StorageError, match="AWS_SECRET_ACCESS_KEY"):
        open_store("s3://models/x", environ={**minio_environ, "AWS_ACCESS_KEY_ID": "nobody"})


def test_missing_bucket_is_explained(minio_environ: dict[str, str]) -> None:
    with pytest.raises(StorageError, match="'absent' does not exist"):
        open_store("s3://absent/x", environ=minio_environ)


def test_unreachable_service_is_told_soon() -> None:
    start = time.perf_counter()
    environ = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    with pytest.raises(StorageError, match="cannot be reached"):
        open_store("s3://models/x", environ=environ)
    assert time.perf_counter() - start < 15


@pytest.mark.parametrize("url", ["s3://", "s3://B!", "s3:///prefix"])
def test_malformed_url_is_refused(url: str) -> None:
    with pytest.raises(StorageError, match="s3://bucket/prefix"):
        open_store(url, environ={})


def test_malformed_endpoint_is_refused() -> None:
    with pytest.raises(StorageError, match="AWS_ENDPOINT_URL_S3"):
        open_store("s3://models", environ={"AWS_ENDPOINT_URL_S3": "localhost:9000"})
