"""What detectors miss and what they invent, drawn on the images."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fettle.data import Subset
from fettle.evaluate.detections import Detections, read_detections
from fettle.evaluate.predictions import Arrays, Thresholds
from fettle.evaluate.results import Validation
from fettle.report.pictures import data_uri, framed

CASES = 6  # of misses, and as many of false alarms
COLOURS = {"right": "#2f7de1", "false alarm": "#e5322d", "object found": "#37b24d", "object missed": "#f59f00"}


@dataclass(frozen=True)
class Answers:
    """What one model answers at its operating point, and what of it is right."""

    detections: Detections
    thresholds: Thresholds

    @cached_property
    def found(self) -> np.ndarray:
        """(M,) bool: true boxes that are found."""
        return self.detections.found(self.thresholds)

    @cached_property
    def right(self) -> np.ndarray:
        """(N, K) bool."""
        return np.asarray(self._answered & self.detections.matches.hits)

    @cached_property
    def alarms(self) -> np.ndarray:
        """(N, K) bool."""
        return np.asarray(self._answered & ~self.detections.matches.hits)

    @cached_property
    def _answered(self) -> np.ndarray:
        return self.detections.answered(self.thresholds)

    def draw(self, images: np.ndarray, image: int) -> str:
        """Return one of the images with all boxes, as a URI."""
        truth, boxes = self.detections.truth, self.detections.boxes[image]
        rows = slice(truth.starts[image], truth.starts[image + 1])
        objects, found = truth.xyxy[rows], self.found[rows]
        frames = {
            "object found": objects[found],
            "object missed": objects[~found],
            "right": boxes[self.right[image]],
            "false alarm": boxes[self.alarms[image]],
        }
        return data_uri(framed(images[image], [(xyxy, COLOURS[name]) for name, xyxy in frames.items()]))


def mistakes(test: Subset, predictions: Mapping[str, Arrays], contrasted: Mapping[str, Validation]) -> dict[str, Any]:
    """Draw the worst of the last model (the winner, or else the baseline), and beside it what the others answer."""
    classes = next(iter(contrasted.values())).classes
    models = {
        name: Answers(read_detections(found, len(classes)), contrasted[name].thresholds)
        for name, found in predictions.items()
    }
    name, last = list(models.items())[-1]

    def case(image: int, words: str) -> dict[str, Any]:
        pictures = {model: answers.draw(test.images, image) for model, answers in models.items()}
        return {"words": words, "path": test.paths[image], "pictures": pictures}

    first = next(iter(models.values()))
    return {
        "name": name,
        "images": len(test),
        "objects": len(last.found),
        "missed": int((~last.found).sum()),
        "alarmed": int(last.alarms.sum()),
        "misses": [case(image, f"{classes[label]} missed") for image, label in _misses(last, first)],
        "alarms": [case(image, f"{classes[label]} at {score:.0%}") for image, label, score in _alarms(last)],
        "colours": COLOURS,
    }


def _misses(answers: Answers, baseline: Answers) -> Iterator[tuple[int, int]]:
    """Give image and class: first what the baseline finds, then the largest; each image once."""
    truth = answers.detections.truth
    owners = np.repeat(np.arange(len(truth)), truth.counts)
    rows = np.flatnonzero(~answers.found)
    order = np.lexsort((-truth.areas[rows], ~baseline.found[rows]))
    for row in _first_of_each(owners[rows[order]], rows[order]):
        yield int(owners[row]), int(truth.labels[row])


def _alarms(answers: Answers) -> Iterator[tuple[int, int, float]]:
    """Give image, class and score: the highest scores first; each image once."""
    images, columns = np.nonzero(answers.alarms)
    scores = answers.detections.scores[images, columns]
    order = np.argsort(-scores, kind="stable")
    for place in _first_of_each(images[order], order):
        image, column = images[place], columns[place]
        yield int(image), int(answers.detections.labels[image, column]), float(scores[place])


def _first_of_each(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the first row of every image, in the order given; as many as are shown."""
    _, first = np.unique(images, return_index=True)
    return rows[np.sort(first)][:CASES]
