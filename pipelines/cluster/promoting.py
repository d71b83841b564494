"""``fettle approve``, ``promote`` and ``rollback`` for a cluster; for what ran here they are the library's."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fettle.cli import serving
from fettle.cli.options import AsJson, Out, SpecFile, narrate, read_spec
from pipelines.cluster.commands import Context, Endpoint, Here, Namespace, PlatformFile, at_cluster, finish, say_where

if TYPE_CHECKING:
    from components.cluster.kube import Kube
    from fettle.spec import Spec
    from fettle.steps.promote import Approval
    from pipelines.cluster.origin import Origin
    from pipelines.cluster.platform import Platform


def approve(
    run: serving.Run,
    by: serving.By,
    reason: serving.Reason,
    candidate: serving.Name = None,
    out: Out = Path("approval"),
    context: Context = None,
    namespace: Namespace = None,
    platform: PlatformFile = None,
) -> None:
    """Record a person's yes to a candidate, bound to its files.

    Of a run on a cluster the candidate is fetched from there; --context, --namespace and --platform say where that is
    now, if not where it was.
    """
    from pipelines.cluster.origin import read_origin

    if origin := read_origin(run):
        with _installation(context or origin.context, namespace or origin.namespace, platform) as (kube, found):
            _fetch_candidate(run, candidate, origin, kube, found)
    serving.approve(run, by=by, reason=reason, candidate=candidate, out=out)


def promote(
    run: serving.Run,
    approval: serving.ApprovalFolder = None,
    out: Out = Path("promotion"),
    model: serving.Model = None,
    repository: serving.Repository = None,
    spec: SpecFile = None,
    as_json: AsJson = False,
    context: Context = None,
    namespace: Namespace = None,
    platform: PlatformFile = None,
    endpoint: Endpoint = "",
) -> None:
    """Publish the winner of a run, or what a person approved, as a new version (spec: serve, the run's own).

    What ran on a cluster is promoted there, by a run that takes all else from the cache, confirms the version on every
    Triton and ends with a report; --out is for runs here.
    """
    from fettle.errors import GateError
    from pipelines.cluster.origin import read_origin

    origin = read_origin(run)
    if origin is None:
        serving.promote(run, approval, out, model, repository, spec, as_json)
        return
    if approval is None:
        raise GateError(
            f"{run} ran on a cluster, where the gates promote if the spec lets them: to promote by hand, approve a "
            f"candidate with `fettle approve {run}` and name the approval with --approval."
        )
    narrate()
    given = serving.spec_of_run(run, spec, model, repository)
    told = _approval_of(run, approval)
    with at_cluster(context or origin.context, namespace or origin.namespace, platform, endpoint) as here:
        typer.echo(f"Approved   {told.sign_off.candidate} by {told.sign_off.by}: {told.sign_off.reason}", err=True)
        run_id, cached = _resume(given, here, origin, told)
        say_where(here, run_id)
        finish(given, here, run_id, as_json=as_json, cached=cached)


def rollback(
    model: serving.Served,
    to: serving.To = None,
    by: serving.Whose = "",
    repository: serving.Repository = None,
    spec: SpecFile = None,
    context: Context = None,
    namespace: Namespace = None,
    platform: PlatformFile = None,
) -> None:
    """Make an earlier version live again. Nothing is deleted; what serves follows by itself.

    With --namespace, --context or --platform in the repository of the installation there; it ends when every Triton
    answers by that version.
    """
    if not (context or namespace or platform):
        serving.rollback(model, to, by, repository, spec)
        return
    narrate()
    given = read_spec(spec, serving.overrides(model, repository))
    with _installation(context, namespace, platform) as (kube, found):
        version = _roll_back(given, model, to, by, kube, found)
    typer.echo(f"{model} {version}")


def _roll_back(given: "Spec", model: str, to: int | None, by: str, kube: "Kube", platform: "Platform") -> int:
    """Roll back in the platform's repository, and wait for every server."""
    from fettle.publish import rollback as roll_back
    from fettle.serve.remote import await_version
    from fettle.storage import open_store
    from pipelines.cluster.store import store_environment
    from pipelines.cluster.submit import repository_of

    with store_environment(kube, platform) as environ, _tritons(kube, platform) as tritons:
        store = open_store(repository_of(given, platform), environ=environ)
        version = roll_back(store, model, to=to, by=by)
        for name, address in tritons.items():
            await_version(address, store, model, version)
            typer.echo(f"Serving    {name}", err=True)
    return version


@contextlib.contextmanager
def _installation(
    context: str | None, namespace: str | None, platform: Path | None
) -> Iterator[tuple["Kube", "Platform"]]:
    from components.cluster.kube import connect
    from pipelines.cluster.platform import find_platform

    kube = connect(context=context, namespace=namespace)
    yield kube, find_platform(kube, file=platform)


def _fetch_candidate(run: Path, candidate: str | None, origin: "Origin", kube: "Kube", platform: "Platform") -> None:
    """Put the export of a candidate beside the selection in which the person sees it."""
    from fettle.errors import ArtifactError
    from fettle.evaluate import results
    from fettle.evaluate.results import SELECTION, Selection
    from fettle.steps.promote import find_candidate
    from pipelines.cluster.results import artifact_store, fetch
    from pipelines.cluster.store import store_environment

    selection = (run / "selection").resolve()
    row = find_candidate(results.load(selection / SELECTION, Selection), candidate)
    if f"export-{row.name}" not in origin.places:
        raise ArtifactError(f"{run} does not tell where the export of {row.name} is: submit its spec again.")
    with store_environment(kube, platform) as environ:
        path = fetch(artifact_store(kube, environ), origin.places[f"export-{row.name}"], selection.parent)
    link = run / f"export-{row.name}"
    link.unlink(missing_ok=True)
    link.symlink_to(path)


def _approval_of(run: Path, path: Path) -> "Approval":
    """Read an approval, and see that it is of this run."""
    from fettle.card import read_card
    from fettle.steps.promote import check_approval, read_approval

    told = read_approval(path)
    check_approval(told, read_card(run / "selection"))
    return told


def _resume(given: "Spec", here: Here, origin: "Origin", told: "Approval") -> tuple[str, set[str]]:
    """Start the promotion of what was approved of a run; return its id, and the tasks that come from the cache."""
    from pipelines.cluster.progress import run_state
    from pipelines.cluster.resume import resume
    from pipelines.local import RunError

    done = here.service.run(origin.run_id)
    if (state := run_state(done)) != "SUCCEEDED":
        raise RunError(f"Run {origin.run_id} is {state.lower()}: only what a run ended with can be promoted.")
    pipeline, cached = resume(given, here.platform, done.pipeline_spec, asdict(told))
    name = f"{given.name} {told.sign_off.candidate} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    return here.service.submit(pipeline, experiment=given.name, name=name), cached


@contextlib.contextmanager
def _tritons(kube: "Kube", platform: "Platform") -> Iterator[dict[str, str]]:
    """Yield ``host:port`` of each server by its name: of the pods of a Service, or of the hosts behind an address."""
    from fettle.serve.remote import remote_endpoints
    from pipelines.cluster.forward import forward_each
    from pipelines.cluster.platform import in_cluster

    address = platform.triton_pods or platform.triton
    if service := in_cluster(address) if address else None:
        name, namespace, port = service
        with forward_each(kube, name, port, namespace=namespace) as pods:
            yield pods
        return
    yield {each["http"]: each["http"] for each in remote_endpoints(address)} if address else {}
