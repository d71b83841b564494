"""`make NAME…`: make the buckets that are missing, once the store answers. `await NAME…`: wait until they are there."""
# ruff: noqa: T201

import os
import sys
import time
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import S3Error

MINE = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


def client() -> Minio:
    url = urlsplit(os.environ["AWS_ENDPOINT_URL_S3"])
    return Minio(
        url.netloc,
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region=os.environ["AWS_REGION"],
        secure=url.scheme == "https",
        http_client=urllib3.PoolManager(timeout=5, retries=False),
    )


def settle(store: Minio, name: str, make: bool) -> str:
    """Return what keeps the bucket from being there, or nothing."""
    try:
        if store.bucket_exists(name):
            return ""
        if not make:
            return "there is no such bucket"
        store.make_bucket(name)
    except S3Error as error:
        return "" if error.code in MINE else f"{error.code}: {error.message}"
    except urllib3.exceptions.HTTPError as error:
        return f"the store does not answer ({error})"
    return ""


def main(action: str, *names: str) -> None:
    store, told = client(), ""
    for name in names:
        while problem := settle(store, name, action == "make"):
            if problem != told:
                print(f"{name}: {problem}; trying again", flush=True)
                told = problem
            time.sleep(2)
        print(f"{name} is there", flush=True)


main(*sys.argv[1:])
