"""Export: a trained model becomes one file that a runtime serves, and a manifest that describes it.

Manifest and thresholds are light; :mod:`fettle.export.onnx` and :mod:`fettle.export.tensorrt` import torch and
are imported by those who export.
"""

from fettle.export.manifest import MANIFEST, Export, Tensor, open_export, read_manifest
from fettle.export.thresholds import FULL_CURVE, full_curve, set_thresholds

__all__ = ["FULL_CURVE", "MANIFEST", "Export", "Tensor", "full_curve", "open_export", "read_manifest", "set_thresholds"]
