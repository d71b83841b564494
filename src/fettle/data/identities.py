"""Splits of identities: who is verified in ``val`` or ``test`` is never seen in training."""

import hashlib
import logging
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from fettle.data.cache import Decoded
from fettle.errors import DataError
from fettle.spec import SplitConfig

log = logging.getLogger("fettle")

DISJOINT = ("test", "val")  # from each other, and from what is trained on
TRAINED = ("train", "calib")
MOST_NAMED = 5


def carve_identities(images: Sequence[Decoded], shares: Mapping[str, float], config: SplitConfig) -> dict[str, str]:
    """Return the split of each image by its digest.

    Whole identities, in the order of a keyed hash of their name, fill ``test``, then ``val``, up to their share of the
    identities, two at least: there must be somebody to be mistaken for. ``calib`` takes pictures of those that are
    left, two or more of an identity, as far as two stay to train on.
    """
    pictures = defaultdict(list)
    for image in images:
        pictures[image.labels[0]].append(image)
    names = sorted(pictures, key=lambda name: _key(config.seed, name))
    held = [name for name in names if config.hold_out and re.fullmatch(config.hold_out, name)]
    if config.hold_out and "test" in shares and len(held) < 2:
        raise DataError(
            f"dataset.split.hold_out {config.hold_out!r} matches {len(held)} of {len(names)} identities, such as "
            f"{names[0]!r}: two or more must be held out."
        )
    splits = dict.fromkeys(held, "test")
    rest = [name for name in names if name not in splits]
    for split in DISJOINT:
        if shares.get(split) and split not in splits.values():
            taken, rest = _take(rest, max(2, round(shares[split] * len(names))))
            splits |= dict.fromkeys(taken, split)
    found = {image.sha256: split for name, split in splits.items() for image in pictures[name]}
    return found | _with_calib([pictures[name] for name in rest], shares.get("calib", 0.0), config.seed)


def _take(names: list[str], count: int) -> tuple[list[str], list[str]]:
    return names[:count], names[count:]


def _with_calib(people: Sequence[Sequence[Decoded]], share: float, seed: int) -> dict[str, str]:
    """Part calibration from training: of one identity after the other so many pictures that they have each other."""
    wanted, splits = round(share * sum(map(len, people))), dict[str, str]()
    for images in people:
        count = max(2, math.ceil(share * len(images)))
        count = count if wanted > 0 and len(images) - count >= 2 else 0
        wanted -= count
        ordered = sorted(images, key=lambda image: _key(seed, image.sha256))
        splits |= {image.sha256: "calib" if index < count else "train" for index, image in enumerate(ordered)}
    return splits


def _key(seed: int, name: str) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def check_identities(images: Sequence[Decoded], splits: Sequence[str], *, wanted: Sequence[str]) -> None:
    """Refuse what cannot be learnt or verified.

    Raises:
        DataError: If an identity is in training and in ``val`` or ``test``, or in both of these; if a split has fewer
            than two identities, or none with two pictures.
    """
    members: dict[str, Counter[str]] = defaultdict(Counter)
    for image, split in zip(images, splits, strict=True):
        members["train" if split in TRAINED else split][image.labels[0]] += 1
    _refuse_overlaps(members)
    for split in {"train" if split in TRAINED else split for split in wanted}:
        found = members[split]
        if len(found) < 2 or max(found.values()) < 2:
            raise DataError(
                f"The {split} split has {len(found)} identities, {sum(count > 1 for count in found.values())} of them "
                "with two pictures or more: there must be two, and one with two pictures. Add pictures, or change "
                "dataset.split."
            )
        if alone := sorted(name for name, count in found.items() if count == 1):
            log.warning(
                "%d identities have one picture in %s, such as %s: they are others to be mistaken for, and are never "
                "looked for themselves.",
                len(alone), split, ", ".join(alone[:MOST_NAMED]),
            )  # fmt: skip


def _refuse_overlaps(members: Mapping[str, Counter[str]]) -> None:
    for split, others in (("test", ("train", "val")), ("val", ("train",))):
        for other in others:
            if both := sorted(members[split].keys() & members[other].keys()):
                raise DataError(
                    f"{len(both)} identities are in {split} and in {other}, such as {', '.join(both[:MOST_NAMED])}: "
                    "verification needs people who were never trained on. Let Fettle split (dataset.split.keep=false)."
                )
