"""The platform's object store, as it is reached from here."""

import contextlib
import os
from collections.abc import Iterator, Mapping

from components.cluster.kube import ClusterError, Kube
from fettle.storage import KEYS
from pipelines.cluster.platform import Platform, reach


@contextlib.contextmanager
def store_environment(kube: Kube, platform: Platform) -> Iterator[Mapping[str, str]]:
    """Yield the variables that reach the store from here, as :func:`fettle.storage.open_store` takes them.

    Credentials are those of the platform's Secret; without one, those of this process.

    Raises:
        ClusterError: If the Secret cannot be read, or the store is not ready.
    """
    environ = dict(os.environ)
    if platform.s3_secret:
        secret = kube.secret(platform.s3_secret)
        environ = {key: value for key, value in environ.items() if not key.startswith("AWS_")}
        if missing := [key for key in KEYS if key not in secret]:
            raise ClusterError(f"Secret {platform.s3_secret!r} has no {' and no '.join(missing)}.")
        environ |= {key: secret[key] for key in KEYS}
    if platform.s3_region:
        environ["AWS_REGION"] = platform.s3_region
    if not platform.s3_endpoint:
        yield environ
        return
    with reach(kube, platform.s3_endpoint) as url:
        yield {**environ, "AWS_ENDPOINT_URL_S3": url}
