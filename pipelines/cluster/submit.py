"""From a spec to the pipeline that a platform runs: data in its store, its repository, its Triton, its image."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from fettle.data.fingerprint import is_made_by_ingest
from fettle.data.remote import Progress, fingerprint, upload
from fettle.errors import SpecError
from fettle.spec import ServeConfig, Spec
from fettle.storage import is_remote, open_store
from pipelines.cluster.platform import Platform
from pipelines.cluster.pods import dresser, sharer
from pipelines.graph import build
from pipelines.groups import group
from pipelines.plan import Plan, plan

MADE_AT = "/tmp/castings"  # where a pod makes castings; it may write nowhere else


@dataclass(frozen=True)
class Data:
    """Where the pods find the images, what they are, whether they had to be uploaded, or the pods make them."""

    path: str
    content: str
    uploaded: bool = False
    made: bool = False


def bring_data(spec: Spec, platform: Platform, environ: Mapping[str, str], *, on_file: Progress | None = None) -> Data:
    """Upload local data to the platform's store, unless the same are there, or the pods make them.

    Args:
        spec: Section ``dataset`` says where they are.
        platform: Where they go.
        environ: How the store is reached from here.
        on_file: Called as files arrive.

    Raises:
        DataError: If there are none.
        SpecError: If the platform has no place for them.
        StorageError: If the store fails.
    """
    path, config = spec.dataset.path, spec.dataset
    content = fingerprint(path, config, environ=environ)
    if is_remote(path):
        return Data(path, content)
    if is_made_by_ingest(content, config):
        return Data(MADE_AT, content, made=True)
    if not is_remote(platform.data):
        raise SpecError("The platform says not where data go (`data`): set dataset.path to s3://bucket/folder.")
    store = open_store(platform.data, environ=environ)
    url, uploaded = upload(Path(path), config, store, content=content, on_file=on_file)
    return Data(url, content, uploaded)


def at_home(spec: Spec, platform: Platform, data: Data, *, approved: bool = False) -> Spec:
    """Return the spec as the pods get it.

    Args:
        spec: What to do.
        platform: Where.
        data: The images.
        approved: A person approved what is promoted.

    Raises:
        SpecError: If a model shall be promoted, and there is no repository in an object store; if workers of ``tune``
            share no place.
    """
    if spec.tune.workers > 1 and not platform.work:
        raise SpecError(
            f"The platform says not where data go (`data`), so that the {spec.tune.workers} workers of `tune` share no "
            "place: set tune.workers=1."
        )
    repository = repository_of(spec, platform)
    if (approved or spec.serve.approve == "auto") and not is_remote(repository):
        raise SpecError(
            "The platform has no model repository (`repository`): set serve.repository to s3://bucket, or "
            "serve.approve=manual."
        )
    endpoint = spec.serve.endpoint or platform.triton_pods or platform.triton or None
    serve: ServeConfig = spec.serve.model_copy(update={"repository": repository, "endpoint": endpoint})
    dataset = spec.dataset.model_copy(update={"path": data.path})
    return spec.model_copy(update={"serve": serve, "dataset": dataset})


def repository_of(spec: Spec, platform: Platform) -> str:
    """Return the model repository: the spec's if it is in an object store, else the platform's."""
    return spec.serve.repository if is_remote(spec.serve.repository) else platform.repository


def compose(
    spec: Spec,
    platform: Platform,
    data: Data,
    *,
    look_again: bool = False,
    approval: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Plan, BaseComponent]:
    """Return the plan of a spec on a platform, and its pipeline.

    Args:
        spec: What to do.
        platform: Where.
        data: The images.
        look_again: Every run of the pipeline reads the images anew, since others may have come.
        approval: What a person approved, which is promoted.
    """
    given = at_home(spec, platform, data, approved=bool(approval))
    began = dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER
    graph = plan(given, content=data.content, approval=approval, began=began)
    groups = group(graph, sharer(given.cluster))
    dress = dresser(platform, given.cluster, pretrained=given.pretrained, look_again=look_again)
    return graph, build(graph, name=given.name, groups=groups, dress=dress)
