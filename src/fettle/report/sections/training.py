"""Training curves of every model that was fitted."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fettle.card import Artifact
from fettle.evaluate import words
from fettle.report import plots
from fettle.report.sources import Sources

HISTORY = "history.jsonl"
SCORES = {"macro_f1": "macro F1", "precision": "precision", "recall": "recall", "auroc": "AUROC"}
History = Sequence[Mapping[str, float]]


def build(sources: Sources) -> dict[str, Any] | None:
    """Tell how the fits went, the gap of train and val among it."""
    recipes = _recipes(sources)
    models = [_model(artifact, recipes.get(artifact.card.digest)) for artifact in sources.of("model")]
    fitted = [model for model in models if model]
    return {"models": fitted} if fitted else None


def _model(artifact: Artifact, recipe: str | None) -> dict[str, Any] | None:
    file = artifact.path / HISTORY
    history: History = [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
    if not history:
        return None
    best = artifact.card.summary["best"]
    return {
        "name": f"{artifact.card.name}, {recipe}" if recipe else artifact.card.name,
        "epochs": len(history),
        "best": best,
        "gap": words.points(best["gap"]),
        "seconds": artifact.card.summary.get("train_seconds", artifact.card.seconds),
        "plots": [
            plots.accuracy_curves(history, train="train_accuracy", val="accuracy"),
            plots.curves(history, {"val_loss": "val", "train_loss": "train, as trained"}, title="Loss"),
            plots.curves(history, SCORES, title="Scores on val"),
            plots.curves(history, {"lr": "learning rate"}, title="Learning rate"),
            plots.curves(history, {"gradient_norm": "gradient norm"}, title="Gradient norm", log=True),
        ],
    }


def _recipes(sources: Sources) -> dict[str, str]:
    """Return the recipe that each model was exported for, by the digest of its card."""
    found = {}
    exports = [artifact.card.parents["export"] for artifact, _ in sources.validations.values()]
    while exports:
        export = exports.pop()
        exports += [parent for parent in export["parents"].values() if parent["kind"] == "export"]
        models = [parent["digest"] for parent in export["parents"].values() if parent["kind"] == "model"]
        found.update(dict.fromkeys(models, export["name"]))
    return found
