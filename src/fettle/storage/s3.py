"""A store in an S3 bucket, of whatever maker, by the `minio` client."""

import contextlib
import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from fettle.errors import StorageError
from fettle.storage.folder import walk
from fettle.storage.store import ConflictError, check_key

AWS = "https://s3.amazonaws.com"
CHUNK = 1 << 20
MISSING = ("NoSuchKey", "NoSuchObject")
CONFLICT = (409, 412)
REMEDIES = {
    "InvalidAccessKeyId": "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a key that this service knows.",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID.",
    "AccessDenied": "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and this key's rights in the bucket.",
    "NoSuchBucket": "Create the bucket first, or correct its name.",
    "NoSuchKey": "There is no such object.",
}


def open_s3(url: str, environ: Mapping[str, str]) -> "S3Store":
    """Open ``s3://bucket/prefix`` with the settings in ``environ`` (see :func:`fettle.storage.open_store`).

    Raises:
        StorageError: If the URL or a setting is malformed, or the bucket cannot be used.
    """
    match = re.fullmatch(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", url)
    if not match:
        raise StorageError(f"`repository` must look like s3://bucket/prefix, got {url!r}.")
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or AWS
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise StorageError(f"AWS_ENDPOINT_URL_S3 must look like http://host:9000, got {endpoint!r}.")
    http = urllib3.PoolManager(
        maxsize=16,  # several transfers share it
        timeout=urllib3.Timeout(connect=5, read=60),
        retries=urllib3.Retry(total=3, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504]),
    )
    with _explained(url):
        client = Minio(
            parts.netloc,
            access_key=environ.get("AWS_ACCESS_KEY_ID"),
            secret_key=environ.get("AWS_SECRET_ACCESS_KEY", ""),
            session_token=environ.get("AWS_SESSION_TOKEN"),
            region=environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION"),
            secure=parts.scheme == "https",
            http_client=http,
        )
        if not client.bucket_exists(match[1]):
            raise StorageError(
                f"{url}: the bucket {match[1]!r} does not exist at {endpoint}. {REMEDIES['NoSuchBucket']}"
            )
    return S3Store(client, http, match[1], (match[2] or "").strip("/"), endpoint)


class S3Store:
    """Objects below ``prefix`` in a bucket."""

    def __init__(self, client: Minio, http: urllib3.PoolManager, bucket: str, prefix: str, endpoint: str) -> None:
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self.endpoint = endpoint
        self._client, self._http, self._bucket, self._prefix = client, http, bucket, prefix

    def read(self, key: str) -> bytes:
        return b"".join(self._stream(key))

    def write(self, key: str, data: bytes) -> None:
        with _explained(self._at(key)):
            self._client.put_object(self._bucket, self._name(key), io.BytesIO(data), len(data))

    def tag(self, key: str) -> str | None:
        with _explained(self._at(key)):
            try:
                return str(self._client.stat_object(self._bucket, self._name(key)).etag)
            except S3Error as error:
                if error.code in MISSING:
                    return None
                raise

    def write_if(self, key: str, data: bytes, *, tag: str | None) -> str:
        # The client has no argument for conditions, so the request goes to a URL that it has signed.
        condition = {"If-None-Match": "*"} if tag is None else {"If-Match": f'"{tag}"'}
        with _explained(self._at(key)):
            url = self._client.get_presigned_url("PUT", self._bucket, self._name(key), expires=timedelta(minutes=5))
            response = self._http.request("PUT", url, body=data, headers=condition)
        if response.status in CONFLICT or (response.status == 404 and tag is not None):
            # A retry after a lost answer meets its own first try.
            if (now := self.tag(key)) and self.read(key) == data:
                return now
            raise ConflictError(f"{self._at(key)} was changed by somebody else in the meantime.")
        if response.status != 200:
            raise StorageError(
                f"{self._at(key)}: HTTP {response.status}: {response.data[:300].decode(errors='replace')}"
            )
        return str(response.headers["ETag"]).strip('"')

    def upload(self, source: Path, key: str) -> None:
        for file, name in walk(source, key):
            with _explained(self._at(name)):
                self._client.fput_object(self._bucket, self._name(name), str(file))

    def download(self, key: str, target: Path) -> None:
        names = {key: target} if self.exists(key) else self._below(key, target)
        if not names:
            raise StorageError(f"{self._at(key)}: {REMEDIES['NoSuchKey']}")
        for name, file in names.items():
            with _explained(self._at(name)):
                self._client.fget_object(self._bucket, self._name(name), str(file))

    def exists(self, key: str) -> bool:
        return self.tag(key) is not None

    def list(self, prefix: str = "") -> tuple[str, ...]:
        start = f"{self._name(prefix)}/" if prefix else f"{self._prefix}/".lstrip("/")
        cut = len(self._prefix) + 1 if self._prefix else 0
        with _explained(self._at(prefix)):
            objects = self._client.list_objects(self._bucket, prefix=start, recursive=True)
            return tuple(sorted(str(item.object_name)[cut:] for item in objects if not item.is_dir))

    def delete(self, key: str) -> None:
        for name in (*self.list(key), key):
            with _explained(self._at(name)):
                self._client.remove_object(self._bucket, self._name(name))

    def digest(self, key: str) -> str:
        digest = hashlib.sha256()
        for chunk in self._stream(key):
            digest.update(chunk)
        return "sha256:" + digest.hexdigest()

    def modified(self, key: str) -> float:
        with _explained(self._at(key)):
            written = self._client.stat_object(self._bucket, self._name(key)).last_modified
        return written.timestamp() if written else 0.0

    def _stream(self, key: str) -> Iterator[bytes]:
        with _explained(self._at(key)):
            response = self._client.get_object(self._bucket, self._name(key))
            try:
                yield from response.stream(CHUNK)
            finally:
                response.close()
                response.release_conn()

    def _below(self, key: str, target: Path) -> dict[str, Path]:
        return {name: target / name.removeprefix(f"{key}/") for name in self.list(key)}

    def _name(self, key: str) -> str:
        return f"{self._prefix}/{check_key(key)}".lstrip("/")

    def _at(self, key: str) -> str:
        return f"{self.url}/{key}"


@contextlib.contextmanager
def _explained(place: str) -> Iterator[None]:
    try:
        yield
    except S3Error as error:
        remedy = REMEDIES.get(str(error.code), str(error.message))
        raise StorageError(f"{place}: {error.code}. {remedy}") from error
    except urllib3.exceptions.HTTPError as error:
        raise StorageError(f"{place}: the service cannot be reached ({error}). Check AWS_ENDPOINT_URL_S3.") from error
    except (MinioException, ValueError) as error:
        raise StorageError(f"{place}: {error}") from error
    except OSError as error:
        raise StorageError(f"{place}: {error}. Check the local folder's rights and free space.") from error
