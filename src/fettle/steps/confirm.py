"""Step ``confirm``: the promoted version on a real Triton gives the offline answers."""

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fettle import card
from fettle.card import Artifact
from fettle.data import open_dataset
from fettle.errors import ArtifactError
from fettle.evaluate import results
from fettle.evaluate.predictions import read_predictions
from fettle.evaluate.results import METRICS, Validation
from fettle.evaluate.tasks import served_answers
from fettle.publish import Promotion
from fettle.serve.client import Protocol
from fettle.serve.compare import COMPARERS
from fettle.serve.confirm import Expectation
from fettle.serve.confirm import confirm as check
from fettle.serve.remote import await_version, remote_endpoints
from fettle.serve.triton import LocalTriton
from fettle.spec import ServeConfig
from fettle.steps.promote import PROMOTION, refuse
from fettle.storage import open_store

log = logging.getLogger("fettle")
CONFIRMATION = "confirmation.json"


def confirm(promotion: Path, validations: Sequence[Path], dataset: Path, out: Path, *, serve: ServeConfig) -> Artifact:
    """Send every test image over HTTP and gRPC and compare the answers with the validation's.

    Args:
        promotion: ``promotion`` artifact; a ``refusal`` is passed on.
        validations: ``validation`` artifacts, the promoted candidate's among them.
        dataset: ``dataset`` artifact that was validated on.
        out: Where the ``confirmation`` artifact is written.
        serve: ``serve.endpoint`` names running Tritons, each of which is asked; without it a local one is started for
            the occasion.

    Raises:
        ServeError: If Triton is missing or dies, a request fails, or an answer differs.
        ArtifactError: If the promoted candidate's validation is not among them.
    """
    if card.read_card(promotion).kind == "refusal":
        return refuse(out, Artifact.open(promotion), reason="there is nothing to confirm")
    promoted = Artifact.open(promotion, kind="promotion")
    done = results.load(promotion / PROMOTION, Promotion)
    offline = _validation_of(done, validations)
    data = open_dataset(dataset)
    with _servers(done, serve) as servers:
        confirmation = check(servers, done.model, data.subset("test"), data.classes, _expected(done, offline))
    log.info("%s", confirmation.words)
    parents = {"promotion": promoted.card, "validation": offline.card, "dataset": data.artifact.card}
    with card.create(out, kind="confirmation", name=done.model, config=serve.to_json(), parents=parents) as draft:
        results.save(draft.path / CONFIRMATION, confirmation)
        draft.summary.update(words=confirmation.words, version=done.version)
    return Artifact.open(out, kind="confirmation", verify=False)


def _expected(done: Promotion, offline: Artifact) -> Expectation:
    """Return what the validated file answers with the thresholds that it was promoted with."""
    told = results.load(offline.path / METRICS, Validation)
    return Expectation(
        task=told.task,
        version=done.version,
        outputs=served_answers(told.task, read_predictions(offline.path), done.thresholds),
        tolerances=COMPARERS[told.task].tolerances(done.runtime, told.precision),
        thresholds=done.thresholds,
    )


def _validation_of(promotion: Promotion, validations: Sequence[Path]) -> Artifact:
    for path in validations:
        artifact = Artifact.open(path, kind="validation")
        same_export = artifact.card.parents["export"]["digest"] == promotion.export
        if same_export and artifact.card.config["runtime"] == promotion.runtime:
            return artifact
    raise ArtifactError(f"No validation is of the export that was promoted as {promotion.model}: give that one.")


@contextlib.contextmanager
def _servers(promotion: Promotion, serve: ServeConfig) -> Iterator[Sequence[Mapping[Protocol, str]]]:
    """Yield the services of each Triton that serves the promoted version."""
    if serve.endpoint:
        servers, store = remote_endpoints(serve.endpoint), open_store(promotion.repository)
        for server in servers:
            await_version(server["http"], store, promotion.model, promotion.version)
        yield servers
        return
    with LocalTriton(promotion.repository) as triton:
        triton.load(promotion.model)
        yield [{"http": triton.http, "grpc": triton.grpc}]
