"""Make a model smaller and faster: prune channels, lower the precision.

:mod:`~fettle.optimize.support` says what runs where and is light; the other modules import torch,
ONNX Runtime's quantizer or NNCF and are imported by those who use them.
"""
