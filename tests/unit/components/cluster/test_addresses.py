"""Addresses of artifacts."""

import pytest

from components.cluster.addresses import in_store


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("minio://fettle/a/b/out", "s3://fettle/a/b/out"),
        ("s3://fettle/a/out?region=eu", "s3://fettle/a/out"),
        ("gs://fettle/a", None),
        ("/local/a", None),
        ("", None),
    ],
)
def test_artifacts_are_found_in_the_store(url, address):
    assert in_store(url) == address
