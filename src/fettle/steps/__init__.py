"""The steps of a pipeline: artifact directories in, one artifact directory out, a file each.

:func:`run` is how an orchestrator's task calls one, by name and with JSON settings.
"""

import contextlib
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Container, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from pydantic import validate_call

from fettle import __version__
from fettle.card import digest_json, read_card, set_seconds
from fettle.errors import FettleError
from fettle.storage import kept_folder


class Elsewhere(Protocol):
    """Runs a step on other machines."""

    def __call__(self, step: str, out: Path, given: Mapping[str, Any], *, identity: str) -> None:
        """Write the artifact to ``out``; attempts at the same work have the same ``identity``.

        Raises:
            FettleError: What the step raised there, or why there is no artifact.
        """


def run(
    step: str, out: str, *, elsewhere: Elsewhere | None = None, **arguments: Any
) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Run ``step`` as a task: JSON settings are checked, errors end the process with one line and their code.

    Args:
        step: Name of a module of this package and of the function in it.
        out: Where the artifact is wanted.
        elsewhere: Runs it, if not this process.
        **arguments: Paths of artifacts, and settings as JSON values or text. ``None`` means the step's default.

    Returns:
        The path of the artifact, its metadata (kind and digest) and its summary. With ``FETTLE_OBJECTS`` set the
        artifact is kept there under its digest, so that the same content has the same path. ``FETTLE_BEGAN`` is when
        the run began, ISO, for a step that tells of it and was not told. ``FETTLE_WORK`` is a folder or
        ``s3://bucket/prefix`` where an attempt at unfinished work goes on from what the one before left.
        ``FETTLE_PROCESSES`` is how many processes of this machine train together.
    """
    logging.basicConfig(level=logging.WARNING, format="· %(message)s", stream=sys.stderr, force=True)
    logging.getLogger("fettle").setLevel(logging.INFO)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # what is tried again is no news
    start = time.perf_counter()
    given = {name: _decode(value) for name, value in arguments.items() if value is not None}
    try:
        if elsewhere:
            elsewhere(step, Path(out), given, identity=f"{step}-{_identity(given)}")
        else:
            _here(step, Path(out), given)
        set_seconds(Path(out), time.perf_counter() - start)
        path = _keep(Path(out))
    except FettleError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the last word of a task
        sys.exit(error.exit_code)
    card = read_card(path)
    return str(path), {"kind": card.kind, "digest": card.digest}, dict(card.summary)


def object_path(objects: Path, kind: str, digest: str) -> Path:
    """Return where the artifact of that kind and digest is kept among ``objects``."""
    return objects / f"{kind}-{digest.removeprefix('sha256:')[:16]}"


def _here(step: str, out: Path, given: dict[str, Any]) -> None:
    began, processes = os.environ.get("FETTLE_BEGAN"), os.environ.get("FETTLE_PROCESSES")
    function = getattr(import_module(f"{__name__}.{step}"), step)
    if began and "began" in function.__annotations__:
        given.setdefault("began", began)
    with _places(step, function.__annotations__, given) as places:
        more = {"processes": int(processes)} if processes and "processes" in function.__annotations__ else {}
        validate_call(function)(out=out, **given, **places, **more)


@contextlib.contextmanager
def _places(step: str, parameters: Container[str], given: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield where a step that asks for it keeps what is unfinished: alone (``work``), or with others (``shared``)."""
    root = os.environ.get("FETTLE_WORK")
    with contextlib.ExitStack() as stack:
        places: dict[str, Any] = {}
        if root and "work" in parameters:
            places["work"] = stack.enter_context(kept_folder(root, f"{step}-{_identity(given)}"))
        if root and "shared" in parameters:
            places["shared"] = root
        yield places


def _decode(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value.startswith("{") else value


def _identity(arguments: Mapping[str, Any]) -> str:
    """Digest settings and the content of the artifacts, so that unfinished work is found again."""
    given = {name: _content(value) for name, value in arguments.items()}
    return digest_json({"fettle": __version__, **given})[7:23]


def _content(value: Any) -> Any:
    if isinstance(value, str) and (Path(value) / "card.json").is_file():
        return read_card(Path(value)).digest
    return value


def _keep(out: Path) -> Path:
    objects = os.environ.get("FETTLE_OBJECTS")
    if not objects:
        return out
    card = read_card(out)
    target = object_path(Path(objects), card.kind, card.digest)
    shutil.rmtree(target, ignore_errors=True)  # the same content, or what is left of it
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(out, target)
    return target
