"""A Python-based Triton backend that stands in for the native ``onnxruntime`` and ``openvino`` ones."""
