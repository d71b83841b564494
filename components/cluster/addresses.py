"""Where Kubeflow keeps artifacts."""


def in_store(url: str) -> str | None:
    """Return an artifact's address as :func:`fettle.storage.open_store` takes it, ``None`` if it is in no S3 store.

    Kubeflow calls a store whose endpoint it was told ``minio://``, and may say after a ``?`` how to reach it.
    """
    scheme, _, place = url.partition("://")
    return f"s3://{place.partition('?')[0]}" if scheme in ("minio", "s3") else None
