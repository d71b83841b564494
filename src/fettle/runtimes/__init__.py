"""Runtimes that execute an exported model: ONNX Runtime, OpenVINO and TensorRT behind one call.

Each engine does what Triton's native backend of the same name does with the same parameters, so a
candidate is judged the way it is served. This room is also imported by Fettle's Python-based Triton
backends, in an environment with numpy and one runtime: it imports nothing of Fettle but the errors.
"""

from fettle.runtimes.engine import ENGINES, Engine, open_engine

__all__ = ["ENGINES", "Engine", "open_engine"]
