"""Commands around Triton: ``approve``, ``promote``, ``rollback``, ``serve``, ``keep``, ``predict``."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fettle.cli.options import RUN_SPEC, AsJson, Out, SpecFile, narrate, read_spec

if TYPE_CHECKING:
    from fettle.serve.client import Client
    from fettle.spec import Spec

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, such as runs/castings/latest.")]
Model = Annotated[str | None, typer.Option("--model", "-m", help="Model in the repository; by default the spec's.")]
Repository = Annotated[
    str | None, typer.Option("--repository", help="Folder or s3://bucket/prefix; by default the spec's.")
]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free port.")]
By = Annotated[str, typer.Option(help="Who approves.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept with the served version.")]
Name = Annotated[str | None, typer.Option(help="Name in the table; by default the winner.")]
ApprovalFolder = Annotated[Path | None, typer.Option(help="An approval artifact; without it the gates decide.")]
Served = Annotated[str, typer.Argument(help="Model in the repository.")]
To = Annotated[int | None, typer.Option(help="Version; by default the one that was live before.")]
Whose = Annotated[str, typer.Option("--by", help="Who rolls back; it is kept in the history.")]


class Wire(StrEnum):
    """Protocols of a KServe v2 server."""

    http = "http"
    grpc = "grpc"


Protocol = Annotated[Wire, typer.Option(help="How to ask.")]
Endpoint = Annotated[str | None, typer.Option(help="HOST:PORT; by default that of `fettle serve`.")]


def approve(run: Run, by: By, reason: Reason, candidate: Name = None, out: Out = Path("approval")) -> None:
    """Record a person's yes to a candidate, bound to its files."""
    from fettle.steps.approve import approve as step

    step(*_selected(run), out, by=by, reason=reason, candidate=candidate)
    typer.echo(out)


def promote(
    run: Run,
    approval: ApprovalFolder = None,
    out: Out = Path("promotion"),
    model: Model = None,
    repository: Repository = None,
    spec: SpecFile = None,
    as_json: AsJson = False,
) -> None:
    """Publish the winner of a run, or what a person approved, as a new version (spec: serve, the run's own)."""
    from fettle.steps.promote import promote as step

    narrate()
    given = spec_of_run(run, spec, model, repository)
    artifact = step(*_selected(run), out, serve=given.serve, name=given.name, sign_off=approval)
    summary = artifact.card.summary
    typer.echo(json.dumps(dict(summary)) if as_json else f"{summary['model']} {summary['version']}")


def rollback(
    model: Served, to: To = None, by: Whose = "", repository: Repository = None, spec: SpecFile = None
) -> None:
    """Make an earlier version live again. Nothing is deleted; `fettle serve` follows by itself."""
    from fettle.publish import rollback as roll_back
    from fettle.storage import open_store

    given = read_spec(spec, overrides(model, repository))
    version = roll_back(open_store(given.serve.repository), model, to=to, by=by)
    typer.echo(f"{model} {version}")


def serve(
    models: Annotated[list[str] | None, typer.Argument(help="Models to serve; by default all promoted ones.")] = None,
    http: Port = 8000,
    grpc: Port = 8001,
    metrics: Port = 8002,
    repository: Repository = None,
    spec: SpecFile = None,
) -> None:
    """Keep the promoted models up on a local Triton and follow promotions and rollbacks, until Ctrl-C."""
    from fettle.serve.keep import keep_serving

    narrate()
    given = read_spec(spec, overrides(None, repository))
    keep_serving(
        given.serve.repository,
        only=models or (),
        http_port=http or None,
        grpc_port=grpc or None,
        metrics_port=metrics or None,
        on_ready=lambda triton, versions: typer.echo(
            json.dumps({"http": triton.http, "grpc": triton.grpc, "versions": dict(versions)})
        ),
    )


def keep(
    repository: Annotated[str, typer.Option(help="Folder or s3://bucket/prefix; the server's own.")],
    endpoint: Annotated[str, typer.Option(help="HOST:PORT of the Triton's HTTP service.")] = "127.0.0.1:8000",
    token: Annotated[
        str, typer.Option(envvar="FETTLE_TRITON_TOKEN", help="To which the server restricts model control.")
    ] = "",
    port: Annotated[int, typer.Option(help="Of /live, /ready and /metrics.")] = 8003,
) -> None:
    """Keep a Triton that is started by others, as in a pod, at what is promoted; the helper beside each server."""
    from fettle.serve.beside import keep_beside

    narrate()
    keep_beside(repository, endpoint=endpoint, token=token, port=port)


def predict(
    images: Annotated[list[Path], typer.Argument(help="Pictures of any size.")],
    model: Model = None,
    protocol: Protocol = Wire.http,
    endpoint: Endpoint = None,
    draw: Annotated[Path | None, typer.Option(help="Folder for copies with the answer drawn on them.")] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds that the server may take until it has the model.")] = 0,
    spec: SpecFile = None,
    as_json: AsJson = False,
) -> None:
    """Ask the served model about pictures."""
    from fettle.serve.drawing import draw_files

    with open_client(read_spec(spec, None), model, protocol, endpoint) as client:
        if wait:
            client.wait(wait)
        answers = client.predict_files(images)
    if draw is not None:
        draw_files(images, answers, draw)
    if as_json:
        rows = [{"image": str(image), **answer.to_json()} for image, answer in zip(images, answers, strict=True)]
        typer.echo(json.dumps(rows, indent=1))
        return
    for image, answer in zip(images, answers, strict=True):
        for row in answer.rows:
            typer.echo("\t".join(" ".join(field.split()) for field in (*row, str(image))))


def open_client(spec: "Spec", model: str | None, protocol: Wire, endpoint: str | None) -> "Client":
    """Return a client of ``model``, by default the spec's, at ``endpoint``, by default that of `fettle serve`."""
    from fettle.serve.client import Client

    default = {"http": "127.0.0.1:8000", "grpc": "127.0.0.1:8001"}[protocol]
    name = model or spec.serve.model_name or spec.name
    return Client(endpoint or default, name, protocol=protocol.value)


def _selected(run: Path) -> tuple[Path, list[Path]]:
    """Return the selection and the exports of a run's folder."""
    from fettle.errors import ArtifactError

    if not (run / "selection").is_dir():
        raise ArtifactError(f"{run} has no selection: give the folder of a run, such as runs/NAME/latest.")
    return run / "selection", sorted(run.glob("export-*"))


def spec_of_run(run: Path, spec: Path | None, model: str | None, repository: str | None) -> "Spec":
    """Return the spec that a run kept in its folder, or another one, with the model and repository that are wanted."""
    own = run / RUN_SPEC
    return read_spec(spec or (own if own.is_file() else None), overrides(model, repository))


def overrides(model: str | None, repository: str | None) -> list[str]:
    """Return what the options ``--model`` and ``--repository`` say as overrides of the spec."""
    given = {"serve.model_name": model, "serve.repository": repository}
    return [f"{key}={value}" for key, value in given.items() if value is not None]
