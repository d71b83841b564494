"""Augmentation: a list of albumentations transforms, written as data, becomes a function of an image."""

import difflib
import os
import random
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fettle.errors import SpecError

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks PyPI for news when it is imported

import albumentations

# A box that loses nine tenths of its area, or is thinner than this many pixels, is no example of its class any more.
MIN_VISIBILITY, MIN_SIDE = 0.1, 2


class Scene(NamedTuple):
    """An image, (H, W, 3) uint8 RGB, and what is on it: xyxy (M, 4) float32 in pixels, labels (M,) int64."""

    image: NDArray[np.uint8]
    xyxy: NDArray[np.float32]
    labels: NDArray[np.int64]


class Augmenter:
    """Random transforms of one image; what comes out depends on the image and the seed of the call alone.

    So a run does not depend on the number of workers, and no two of them repeat each other, as they would with a
    random state that each inherits. All transforms draw from one generator: ``Compose.set_random_seed`` would give
    each a generator with the same seed, and two flips would always go together.
    """

    def __init__(self, transforms: Sequence[albumentations.BasicTransform]) -> None:
        self._compose = albumentations.Compose(list(transforms))

    def __call__(self, image: NDArray[np.uint8], seed: int | None = None) -> NDArray[np.uint8]:
        """Transform (H, W, 3) uint8 RGB; without a seed the random sequence goes on."""
        if seed is not None:
            _set_seed(self._compose, seed)
        return np.asarray(self._compose(image=image)["image"])


class SceneAugmenter:
    """The same for images with boxes, which move along and are cut at the edges of the image."""

    def __init__(self, transforms: Sequence[albumentations.BasicTransform]) -> None:
        about = albumentations.BboxParams(
            "pascal_voc", min_visibility=MIN_VISIBILITY, min_width=MIN_SIDE, min_height=MIN_SIDE, clip=True
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Got processor for bboxes")  # where none moves a pixel
            self._compose = albumentations.Compose(list(transforms), bbox_params=about)

    def __call__(self, scene: Scene, seed: int) -> Scene:
        """Transform image and boxes; ``seed`` and ``scene`` alone decide how."""
        _set_seed(self._compose, seed)
        rows = np.column_stack([scene.xyxy, scene.labels]).astype(np.float32)
        made = self._compose(image=scene.image, bboxes=rows)
        found = np.asarray(made["bboxes"], np.float32).reshape(-1, 5)
        return Scene(np.asarray(made["image"]), found[:, :4], found[:, 4].astype(np.int64))


def augmenter(transforms: Sequence[Mapping[str, Any]]) -> Augmenter:
    """Build the pipeline of ``train.augment``.

    Args:
        transforms: Each ``{NAME: {argument: value}}`` with a name of albumentations; lists stand for tuples.

    Raises:
        SpecError: If a name or an argument is unknown, or a value is refused.
    """
    return Augmenter([_build(entry) for entry in transforms])


def scene_augmenter(transforms: Sequence[Mapping[str, Any]]) -> SceneAugmenter:
    """Build the pipeline of ``train.augment`` for images with boxes.

    Raises:
        SpecError: As :func:`augmenter`, and if a transform would move pixels and leave the boxes where they are.
    """
    built = [_build(entry) for entry in transforms]
    for transform in built:
        if "bboxes" not in transform.available_keys and not isinstance(transform, albumentations.ImageOnlyTransform):
            raise SpecError(f"train.augment: {type(transform).__name__} cannot move boxes: leave it out for detectors.")
    return SceneAugmenter(built)


def _set_seed(compose: albumentations.Compose, seed: int) -> None:
    compose.set_random_state(np.random.default_rng(seed), random.Random(seed))


def _build(entry: Mapping[str, Any]) -> albumentations.BasicTransform:
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise SpecError(f"train.augment: each entry is {{NAME: {{arguments}}}}, got {entry!r}.")
    ((name, arguments),) = entry.items()
    try:
        return _transform(name)(**_tuples(arguments or {}), strict=True)
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SpecError(f"train.augment: {name} refuses {dict(arguments or {})!r}: {reason}") from None


def _transform(name: str) -> type[albumentations.ImageOnlyTransform]:
    known = {
        key: value
        for key, value in vars(albumentations).items()
        if isinstance(value, type) and issubclass(value, albumentations.BasicTransform)
    }
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {nearest[0]}?" if nearest else ""
        raise SpecError(f"train.augment: albumentations has no transform {name!r}.{hint}")
    return known[name]


def _tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _tuples(inner) for key, inner in value.items()}
    return tuple(_tuples(inner) for inner in value) if isinstance(value, list) else value
