"""Step ``vote``: the exports of several classifiers to one that votes."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from fettle import card
from fettle.card import Artifact
from fettle.errors import ArtifactError
from fettle.evaluate import vote as votes
from fettle.evaluate.predictions import read_predictions
from fettle.export.ensemble import Member, combine
from fettle.export.manifest import open_export

log = logging.getLogger("fettle")


def vote(
    exports: Mapping[str, Path],
    validations: Mapping[str, Path],
    out: Path,
    *,
    recipe: Literal["default", "fitted"],
    weights: Mapping[str, float],
) -> Artifact:
    """Combine members into an ensemble, an ``export`` that runs in the runtime ``ensemble``.

    Args:
        exports: ``export`` artifact of each member.
        validations: ``validation`` artifact of each, in the runtime in which it votes.
        out: Where the ``export`` artifact is written.
        recipe: ``fitted`` fits the weights on the val split; ``default`` takes them as they are.
        weights: Of each member.

    Raises:
        SpecError: If weights are of others, or do not add up to 1.
        ArtifactError: If members cannot vote together, or a validation is of another export.
    """
    judged = {name: Artifact.open(validations[name], kind="validation") for name in exports}
    runtimes = {name: artifact.card.config["runtime"] for name, artifact in judged.items()}
    members = {name: Member(open_export(path), runtimes[name]) for name, path in exports.items()}
    for name, artifact in judged.items():
        if artifact.card.parents["export"]["digest"] != card.read_card(exports[name]).digest:
            raise ArtifactError(f"{artifact.path} is no validation of {exports[name]}, which {name} votes with.")
    found = {name: read_predictions(path, split="val") for name, path in validations.items()}
    labels = next(iter(found.values()))["truth_labels"]
    probabilities = {name: each["probabilities"] for name, each in found.items()}
    chosen = votes.fit_weights(probabilities, labels, weights) if recipe == "fitted" else dict(weights)
    loss = votes.log_loss(probabilities, labels, chosen)
    log.info("%s: log loss %.4f on val", ", ".join(f"{name} {weight:.3f}" for name, weight in chosen.items()), loss)
    config = {"recipe": recipe, "weights": chosen, "runtimes": runtimes}
    parents = {f"member-{name}": card.read_card(path) for name, path in exports.items()}
    parents |= {f"validation-{name}": each.card for name, each in judged.items()}
    with card.create(out, kind="export", name=recipe, config=config, parents=parents) as draft:
        combine(members, chosen, draft.path, recipe=recipe).save()
        draft.summary.update(weights=chosen, val_log_loss=loss, precision="ensemble")
    return Artifact.open(out, kind="export")
