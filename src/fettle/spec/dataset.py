"""``dataset``: where the images are, how labels are read, how they are split."""

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from fettle.spec.base import Section


class SplitConfig(Section):
    """Shares of the data; ``train`` is the rest. A share of 0 makes no such split.

    Splits that the source has already are kept; the others are carved from its training images, by these shares.
    """

    calib: float = Field(0.1, ge=0, lt=1)
    """Share set aside from training to calibrate quantization."""
    val: float = Field(0.15, gt=0, lt=1)
    """Share for early stopping, tuning and thresholds."""
    test: float = Field(0.15, gt=0, lt=1)
    """Share that only the gates see, once."""
    hold_out: str | None = None
    """For ``embed``: regular expression of the identities, by their whole name, that are the test's; by default the
    share ``test`` of them is drawn."""
    keep: bool = True
    """Keep the splits that the source has; ``false`` makes all anew."""
    seed: int = 0
    """Seed of the assignment; it also depends on the content of each image, not on its name."""

    @field_validator("hold_out")
    @classmethod
    def _is_an_expression(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _leaves_training_data(self) -> Self:
        if self.calib + self.val + self.test >= 0.9:
            raise ValueError("calib + val + test must leave at least 0.1 for training")
        return self


class DatasetConfig(Section):
    """Labelled images."""

    path: str = "data/castings"
    """Folder of images, a CSV file, or ``castings`` data that the run makes itself; here or at ``s3://bucket/prefix``."""
    layout: Literal["imagefolder", "pattern", "csv", "castings", "yolo", "coco", "voc"] = "imagefolder"
    """``imagefolder`` (a folder a class, with or without train/val/test above), ``pattern`` (the label is in the
    file name), ``csv`` (columns ``path,label[,split]``), ``castings`` (made at ``path`` when it is not there);
    boxes: ``yolo`` (``data.yaml`` or its folder), ``coco`` (a JSON file or a folder of them), ``voc`` (a folder with
    XML files), ``castings``."""
    label_pattern: str | None = None
    """For ``pattern``: regular expression with a group named ``label``, searched in the path below ``path``."""
    count: int = Field(1500, ge=20)
    """For ``castings``: how many images to make."""
    split: SplitConfig = SplitConfig()
    """Shares of train, calib, val and test."""
    resize: Literal["squash", "crop", "pad"] = "squash"
    """How an image becomes square: ``squash`` keeps all content, ``crop`` and ``pad`` keep proportions."""
    max_broken: float = Field(0.05, ge=0, le=1)
    """Share of unreadable images above which ingest fails; below it they are quarantined and listed."""
    max_invalid_boxes: float = Field(0.01, ge=0, le=1)
    """Share of invalid boxes above which ingest fails; below it they are quarantined and listed."""
    max_pixels: int = Field(100_000_000, gt=0, le=178_000_000)
    """Images with more pixels than this are quarantined before they are decoded."""
    group_near_duplicates: bool = False
    """Keep images with nearly the same perceptual hash in one split."""
    near_distance: int = Field(4, ge=0, le=16)
    """Largest Hamming distance of two 64-bit perceptual hashes that counts as a near-duplicate."""

    @field_validator("label_pattern")
    @classmethod
    def _has_label_group(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            groups = re.compile(value).groupindex
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from None
        if "label" not in groups:
            raise ValueError("needs a group named label, such as '(?P<label>[a-z]+)_[0-9]+'")
        return value

    @model_validator(mode="after")
    def _pattern_is_given(self) -> Self:
        if self.layout == "pattern" and self.label_pattern is None:
            raise ValueError("layout: pattern needs label_pattern, such as '(?P<label>[a-z]+)_[0-9]+'")
        return self
