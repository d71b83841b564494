"""Fettle: labelled images in, a small, fast and proven vision model on Triton out."""

__version__ = "0.1.0"
