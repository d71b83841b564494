"""Export: a trained model becomes one file that a runtime serves, and a manifest that describes it.

The manifest is light; :mod:`fettle.export.onnx` and :mod:`fettle.export.tensorrt` import torch and
are imported by those who export.
"""

from fettle.export.manifest import MANIFEST, Export, Tensor, open_export, read_manifest

__all__ = ["MANIFEST", "Export", "Tensor", "open_export", "read_manifest"]
