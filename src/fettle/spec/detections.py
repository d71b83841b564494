"""``detections``: what a detector answers."""

from pydantic import Field

from fettle.spec.base import Section


class DetectionConfig(Section):
    """Non-maximum suppression and thresholds, inside the exported graph."""

    confidence: float = Field(0.25, ge=0.001, lt=1)
    """Smallest score of a detection that is answered."""
    refit: bool = True
    """Move ``confidence`` for every candidate to where its F1 on the val split is highest: a quantized model's scores
    shift. The report shows how far."""
    iou: float = Field(0.5, gt=0, le=1)
    """Of two boxes that overlap by more, the one with the lower score goes."""
    agnostic: bool = True
    """Suppress across classes; ``false`` suppresses within each class, and lets a box have several."""
    max_detections: int = Field(10, ge=1, le=300)
    """Most detections that are answered for an image, the best first."""
