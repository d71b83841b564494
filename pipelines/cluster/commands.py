"""``fettle submit`` and ``fettle schedule``."""

import contextlib
import logging
import sys
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fettle.cli.options import AsJson, Overrides, SpecFile, narrate, read_spec

if TYPE_CHECKING:
    from components.cluster.kube import Kube
    from fettle.spec import Spec
    from pipelines.cluster.origin import Origin
    from pipelines.cluster.platform import Platform
    from pipelines.cluster.service import Service
    from pipelines.cluster.submit import Data

Context = Annotated[str | None, typer.Option(help="Context of the kubeconfig; by default the current one.")]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="By default that of the context.")]
PlatformFile = Annotated[
    Path | None,
    typer.Option(
        "--platform", metavar="FILE", help="YAML with the keys of ConfigMap fettle-platform, where there is none."
    ),
]
Endpoint = Annotated[
    str, typer.Option("--endpoint", envvar="KFP_ENDPOINT", help="URL of Kubeflow Pipelines, if not the platform's.")
]


def submit(
    overrides: Overrides = None,
    spec: SpecFile = None,
    follow: Annotated[
        str | None, typer.Option(metavar="RUN_ID", help="Follow this run instead of starting one.")
    ] = None,
    terminate: Annotated[str | None, typer.Option(metavar="RUN_ID", help="End this run.")] = None,
    wait: Annotated[bool, typer.Option(help="Follow the run to its end, and bring its results home.")] = True,
    context: Context = None,
    namespace: Namespace = None,
    platform: PlatformFile = None,
    endpoint: Endpoint = "",
    as_json: AsJson = False,
) -> None:
    """Run the pipeline of a spec on a Kubernetes cluster with Kubeflow Pipelines; the same that `fettle run` runs here.

    Local data are uploaded once, by content; work that is done already is taken from the cache.
    """
    narrate()
    given = read_spec(spec, overrides)
    with at_cluster(context, namespace, platform, endpoint) as here:
        if terminate:
            here.service.terminate(terminate)
            return
        run_id = follow or _start(given, here)
        say_where(here, run_id)
        if not wait:
            typer.echo(run_id)
            return
        finish(given, here, run_id, as_json=as_json)


def schedule(
    cron: Annotated[
        str, typer.Option(metavar="'M H D M W'", help="When, as for cron; in UTC unless the platform says otherwise.")
    ],
    overrides: Overrides = None,
    spec: SpecFile = None,
    context: Context = None,
    namespace: Namespace = None,
    platform: PlatformFile = None,
    endpoint: Endpoint = "",
) -> None:
    """Run the pipeline of a spec on a cluster again and again, as new data come to an s3:// folder."""
    from pipelines.cluster.submit import compose

    narrate()
    if len(cron.split()) != 5:
        raise typer.BadParameter(
            f"five fields, such as '0 3 * * 1' (Mondays at three), got {cron!r}", param_hint="--cron"
        )
    given = read_spec(spec, overrides)
    with at_cluster(context, namespace, platform, endpoint) as here:
        _, pipeline = compose(given, here.platform, _bring_data(given, here), look_again=True)
        made = here.service.schedule(pipeline, experiment=given.name, name=f"{given.name} {cron}", cron=f"0 {cron}")
    typer.echo(made)


@dataclass(frozen=True)
class Here:
    """The cluster, while it is reached."""

    kube: "Kube"
    platform: "Platform"
    service: "Service"


@contextlib.contextmanager
def at_cluster(context: str | None, namespace: str | None, platform: Path | None, endpoint: str) -> Iterator[Here]:
    """Yield the cluster that the options name."""
    from components.cluster.kube import connect
    from pipelines.cluster.platform import find_platform, reach
    from pipelines.cluster.service import open_service

    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # what is tried again is no news
    kube = connect(context=context, namespace=namespace)
    found = find_platform(kube, file=platform, endpoint=endpoint)
    with reach(kube, found.kfp) as url:
        yield Here(kube, found, open_service(url))


def _bring_data(given: "Spec", here: Here) -> "Data":
    from pipelines.cluster.machines import check_cluster, check_spec
    from pipelines.cluster.store import store_environment
    from pipelines.cluster.submit import bring_data

    check_spec(given)
    check_cluster(given, here.kube)

    def tell(done: int, total: int) -> None:
        if done == total or done % 500 == 0:
            typer.echo(f"Uploading {given.dataset.path}: {done} of {total} files", err=True)

    with store_environment(here.kube, here.platform) as environ:
        data = bring_data(given, here.platform, environ, on_file=tell)
    if data.made:
        typer.echo(f"Data       {given.dataset.count} castings, made by the step that reads them", err=True)
    elif not data.uploaded and data.path != given.dataset.path:
        typer.echo(f"Data       {data.path}: nothing to upload", err=True)
    return data


def _start(given: "Spec", here: Here) -> str:
    from pipelines.cluster.submit import compose

    graph, pipeline = compose(given, here.platform, _bring_data(given, here))
    for name, reason in graph.skipped.items():
        typer.echo(f"Recipe {name} is left out: {reason}", err=True)
    name = f"{given.name} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    return here.service.submit(pipeline, experiment=given.name, name=name)


def say_where(here: Here, run_id: str) -> None:
    """Say where a run is looked at."""
    from pipelines.cluster.platform import in_cluster

    where = here.platform.ui
    typer.echo(f"Run        {run_id} in namespace {here.kube.namespace} of {here.kube.context}", err=True)
    if service := in_cluster(where) if where else None:
        name, namespace, port = service
        typer.echo(
            f"UI         kubectl port-forward -n {namespace or here.kube.namespace} svc/{name} 8080:{port}", err=True
        )
        where = "http://localhost:8080"
    if where:
        typer.echo(f"           {where.rstrip('/')}/#/runs/details/{run_id}", err=True)


def finish(given: "Spec", here: Here, run_id: str, *, as_json: bool, cached: Container[str] = ()) -> None:
    """Follow a run to its end, bring its results home, and say how it ended.

    Args:
        given: The spec.
        here: Where it runs.
        run_id: The run.
        as_json: Print JSON.
        cached: Tasks that must come from the cache.

    Raises:
        GateError: If nothing passed the gates, and nobody approved anything.
        RunError: If the run failed.
    """
    from fettle.cli.summary import show_run
    from fettle.errors import GateError
    from pipelines.cluster.follow import Follower
    from pipelines.cluster.narrate import Teller

    try:
        Follower(here.service, run_id, Teller(sys.stderr), here.kube, cached).follow()
    except KeyboardInterrupt:
        typer.echo(f"\nThe run goes on: `fettle submit --follow {run_id}`, or end it by --terminate.", err=True)
        raise
    report, origin = _bring_home(given, here, run_id)
    has_winner = show_run(report, Path(given.runs), given, as_json=as_json)
    folder = Path(given.runs) / given.name / "latest"
    origin.save(folder)
    if any(folder.glob("promotion*")):
        _say_serving(here)
        return
    if given.serve.approve == "manual":
        typer.echo(f"Approve    fettle approve {folder} --by NAME --reason WHY", err=True)
    if not has_winner:
        raise GateError("No candidate passed the gates, so nothing was promoted; the report says which gate and why.")


def _bring_home(given: "Spec", here: Here, run_id: str) -> tuple[Path, "Origin"]:
    from pipelines.cluster.origin import Origin
    from pipelines.cluster.results import artifact_store, bring_home
    from pipelines.cluster.store import store_environment

    with store_environment(here.kube, here.platform) as environ:
        store = artifact_store(here.kube, environ)
        report, places = bring_home(store, given.name, run_id, Path(given.runs).absolute() / "objects")
    return report, Origin(run_id, here.kube.context, here.kube.namespace, places)


def _say_serving(here: Here) -> None:
    from pipelines.cluster.platform import in_cluster

    address = here.platform.triton
    if service := in_cluster(address) if address else None:
        name, namespace, port = service
        place = namespace or here.kube.namespace
        typer.echo(
            f"Serving    {name}.{place}:{port}; from here kubectl port-forward -n {place} svc/{name} {port}", err=True
        )
    elif address:
        typer.echo(f"Serving    {address}", err=True)
