"""Run a plan on this machine: ``kfp.local``, a process a task, cached by content."""

import contextlib
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
from kfp import local

from fettle.card import Artifact
from fettle.errors import ArtifactError, FettleError
from fettle.evaluate import results
from fettle.publish import Promotion
from fettle.publish.repository import versions
from fettle.steps.promote import PROMOTION
from fettle.storage import is_remote, open_store
from pipelines.graph import build
from pipelines.narrate import Narrator
from pipelines.offline import offline
from pipelines.plan import Plan


class RunError(FettleError):
    """A task failed; its own message is in the text."""


def run_local(plan: Plan, *, name: str, runs: Path, pretrained: bool = False, verbose: bool = False) -> Path:
    """Run the tasks of ``plan``, but for those whose result is there already.

    Args:
        plan: Tasks to run.
        name: Name of the pipeline.
        runs: Folder of the artifacts (``objects/``), the cache and unfinished work, shared by all runs in it.
        pretrained: Let tasks download weights, because the spec says so.
        verbose: Show everything that Kubeflow prints.

    Returns:
        The report artifact; the whole lineage hangs on it.

    Raises:
        RunError: If a task failed. The next run goes on at that task.
    """
    runs = runs.absolute()
    _drop_lost(runs / "objects", plan)
    scratch = runs / "tasks"
    narrator = Narrator(sys.stderr, total=len(plan.tasks), verbose=verbose)
    with _environment(runs, pretrained), _children_end_with_us(), narrator, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        local.init(
            local.SubprocessRunner(use_venv=False),
            pipeline_root=str(scratch),
            workspace_root=str(scratch / "workspace"),
            enable_caching=True,
            cache_root=str(runs / "cache"),
        )
        try:
            finished = build(plan, name=name)()
        except RuntimeError as error:
            raise RunError(narrator.failure or str(error)) from None
    return Path(finished.output.uri)


@contextlib.contextmanager
def _environment(runs: Path, pretrained: bool) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(FETTLE_OBJECTS=str(runs / "objects"), FETTLE_WORK=str(runs / "work"), PYTHONUNBUFFERED="1")
    os.environ["FETTLE_BEGAN"] = datetime.now(UTC).isoformat(timespec="milliseconds")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ.update(offline(pretrained=pretrained))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _children_end_with_us() -> Iterator[None]:
    """On SIGTERM pass it on to the running task, which writes its checkpoint, and stop."""

    def stop(_signum: int, _frame: object) -> None:
        children = psutil.Process().children(recursive=True)
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.terminate()
        psutil.wait_procs(children, timeout=60)
        raise RunError("The run was terminated; the same command goes on where it stopped.")

    previous = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _drop_lost(objects: Path, plan: Plan) -> None:
    """Remove what can no longer be trusted, so that its task runs again instead of being taken from the cache.

    That is an artifact whose files do not match its card, and a promotion whose version has gone from the repository.
    A store that ``plan`` does not promote to is not asked: what a cluster promoted to its own lies beside.
    """
    ours = {task.settings["serve"]["repository"] for task in plan.tasks if task.step == "promote"}
    for path in objects.glob("*-*"):
        try:
            artifact = Artifact.open(path)
        except ArtifactError:
            shutil.rmtree(path)
            continue
        if artifact.card.kind == "promotion" and not _is_published(path, ours):
            shutil.rmtree(path)


def _is_published(promotion: Path, ours: Collection[str]) -> bool:
    done = results.load(promotion / PROMOTION, Promotion)
    if is_remote(done.repository) and done.repository not in ours:
        return True
    return done.version in versions(open_store(done.repository), done.model)
