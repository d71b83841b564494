"""Fettle: labelled images in, a small, fast and proven vision model on Triton out."""

import os

__version__ = "0.1.0"

# ONNX Runtime's wheels for Linux report each session to Microsoft, from 1.29 on. It looks when it is loaded.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
