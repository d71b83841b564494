"""The steps of a pipeline: artifact directories in, one artifact directory out, a file each.

:func:`run` is how an orchestrator's task calls one, by name and with JSON settings.
"""

import json
import logging
import os
import shutil
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import validate_call

from fettle.card import digest_json, read_card, set_seconds
from fettle.errors import FettleError


def run(step: str, out: str, **arguments: Any) -> tuple[str, dict[str, str], dict[str, Any]]:
    """Run ``step`` as a task: JSON settings are checked, errors end the process with one line and their code.

    Args:
        step: Name of a module of this package and of the function in it.
        out: Where the artifact is wanted.
        **arguments: Paths of artifacts, and settings as JSON values or text. ``None`` means the step's default.

    Returns:
        The path of the artifact, its metadata (kind and digest) and its summary. With ``FETTLE_OBJECTS`` set the
        artifact is kept there under its digest, so that the same content has the same path.
    """
    logging.basicConfig(level=logging.WARNING, format="· %(message)s", stream=sys.stderr, force=True)
    logging.getLogger("fettle").setLevel(logging.INFO)
    start = time.perf_counter()
    given = {name: _decode(value) for name, value in arguments.items() if value is not None}
    work = os.environ.get("FETTLE_WORK")
    try:
        function = getattr(import_module(f"{__name__}.{step}"), step)
        if work and "work" in function.__annotations__:
            given["work"] = Path(work) / f"{step}-{_identity(given)}"
        validate_call(function)(out=Path(out), **given)
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


def _decode(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value.startswith("{") else value


def _identity(arguments: dict[str, Any]) -> str:
    """Digest settings and the content of the artifacts, so that unfinished work is found again."""
    return digest_json({name: _content(value) for name, value in arguments.items()})[7:23]


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
