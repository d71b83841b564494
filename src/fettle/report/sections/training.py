"""Training curves of every model that was fitted."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from fettle.card import Artifact
from fettle.evaluate import words
from fettle.report import plots
from fettle.report.sources import Sources

HISTORY = "history.jsonl"
Row = Mapping[str, float]
History = Sequence[Row]


@dataclass(frozen=True)
class View:
    """What is told of the fits of one task.

    Attributes:
        sentence: Of the best epoch.
        quality: Plot of the score that matters.
        scores: Columns of the history and their names.
    """

    sentence: Callable[[Row], str]
    quality: Callable[[History], Markup]
    scores: Mapping[str, str]


def _classifier_sentence(best: Row) -> str:
    return (
        f"macro F1 {best['macro_f1']:.1%} and accuracy {best['accuracy']:.1%} on val; train, measured without "
        f"augmentation, less val is {words.points(best['gap'])}."
    )


def _detector_sentence(best: Row) -> str:
    return (
        f"mAP50 {best['map50']:.1%} and mAP50-95 {best['map50_95']:.1%} on val; where F1 is highest, precision is "
        f"{best['precision']:.1%} and recall {best['recall']:.1%}."
    )


def _embedding_sentence(best: Row) -> str:
    return (
        f"rank-1 {best['rank1']:.1%}, MAP@R {best['map_at_r']:.1%} and TAR at FAR .01 {best['tar']:.1%} among the "
        "identities of val; their equal error rate stands for a validation loss."
    )


# By the column that only this task's histories have.
VIEWS: Mapping[str, View] = {
    "accuracy": View(
        _classifier_sentence,
        lambda history: plots.accuracy_curves(history, train="train_accuracy", val="accuracy"),
        {"macro_f1": "macro F1", "precision": "precision", "recall": "recall", "auroc": "AUROC"},
    ),
    "map50": View(
        _detector_sentence,
        lambda history: plots.curves(history, {"map50": "mAP50", "map50_95": "mAP50-95"}, title="mAP on val"),
        {"precision": "precision", "recall": "recall", "iou": "IoU of what is assigned"},
    ),
    "map_at_r": View(
        _embedding_sentence,
        lambda history: plots.curves(history, {"rank1": "rank-1", "map_at_r": "MAP@R"}, title="Retrieval on val"),
        {"tar": "TAR at FAR .01", "val_loss": "equal error rate"},
    ),
}
RATES = {"lr": "learning rate", "lr_backbone": "of the backbone"}


def build(sources: Sources) -> dict[str, Any] | None:
    """Tell how the fits went."""
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
    view = next(view for column, view in VIEWS.items() if column in best)
    parts = [name for name in history[0] if name.endswith("_loss") and name not in ("train_loss", "val_loss")]
    return {
        "name": f"{artifact.card.name}, {recipe}" if recipe else artifact.card.name,
        "epochs": len(history),
        "best": best,
        "sentence": view.sentence(best),
        "seconds": artifact.card.summary.get("train_seconds", artifact.card.seconds),
        "plots": [
            view.quality(history),
            plots.curves(history, {"val_loss": "val", "train_loss": "train, as trained"}, title="Loss"),
            plots.curves(history, _there(view.scores, history), title="Scores on val"),
            *([plots.curves(history, _named(parts), title="Parts of the loss")] if parts else []),
            plots.curves(history, _there(RATES, history), title="Learning rate"),
            plots.curves(history, {"gradient_norm": "gradient norm"}, title="Gradient norm", log=True),
        ],
    }


def _named(columns: Sequence[str]) -> dict[str, str]:
    return {column: column.removesuffix("_loss") for column in columns}


def _there(columns: Mapping[str, str], history: History) -> dict[str, str]:
    return {column: name for column, name in columns.items() if column in history[0]}


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
