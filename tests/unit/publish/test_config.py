"""``config.pbtxt``, parsed back by Triton's own protobuf."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from fettle.errors import ArtifactError, SpecError
from fettle.export.manifest import Export, Tensor
from fettle.publish.config import ModelConfig, config_of, label_file, served_version
from fettle.spec.serve import ServeConfig

CONFIG = ModelConfig(
    name="castings",
    version=3,
    backend="openvino",
    file="model.xml",
    inputs=(Tensor("image", "uint8", (64, 64, 3)),),
    outputs=(Tensor("probabilities", "float32", (2,)),),
    max_batch=32,
    preferred_batches=(8, 16),
    queue_delay_us=500,
    instances=2,
    warmup=(1, 32),
    response_cache=True,
    parameters={"INFERENCE_NUM_THREADS": "2", 'odd "name"': "a\nb"},
)


def parse(text: str) -> pb.ModelConfig:
    return text_format.Parse(text, pb.ModelConfig())


def test_everything_comes_back() -> None:
    message = parse(CONFIG.render())
    assert (message.name, message.backend, message.max_batch_size) == ("castings", "openvino", 32)
    assert message.default_model_filename == "model.xml"
    assert list(message.version_policy.specific.versions) == [3]
    assert message.input[0].name == "image"
    assert message.input[0].data_type == pb.TYPE_UINT8
    assert list(message.input[0].dims) == [64, 64, 3]
    assert message.output[0].data_type == pb.TYPE_FP32
    assert message.output[0].label_filename == "3/labels.txt"
    assert list(message.dynamic_batching.preferred_batch_size) == [8, 16]
    assert message.dynamic_batching.max_queue_delay_microseconds == 500
    assert message.instance_group[0].count == 2
    assert message.instance_group[0].kind == pb.ModelInstanceGroup.KIND_CPU
    assert [(each.batch_size, list(each.inputs["image"].dims)) for each in message.model_warmup] == [
        (1, [64, 64, 3]),
        (32, [64, 64, 3]),
    ]
    assert message.response_cache.enable
    assert message.parameters["INFERENCE_NUM_THREADS"].string_value == "2"
    assert message.parameters['odd "name"'].string_value == "a\nb"


def test_gpu_instances_and_no_cache() -> None:
    message = parse(replace(CONFIG, backend="tensorrt", device="gpu", response_cache=False).render())
    assert message.instance_group[0].kind == pb.ModelInstanceGroup.KIND_GPU
    assert not message.response_cache.enable


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "../up"}, "model_name"),
        ({"name": ".hidden"}, "model_name"),
        ({"version": 0}, "version"),
        ({"max_batch": 0}, "max_batch"),
        ({"instances": 0}, "instances"),
        ({"queue_delay_us": -1}, "queue_delay_us"),
        ({"backend": "pytorch"}, "pytorch"),
        ({"device": "gpu"}, "cpu for openvino"),
        ({"backend": "tensorrt"}, "gpu for tensorrt"),
        ({"preferred_batches": (64,)}, "64"),
        ({"inputs": (Tensor("image", "complex64", (2,)),)}, "complex64"),
        ({"outputs": (Tensor("probabilities", "float32", (0,)),)}, "probabilities"),
    ],
)
def test_what_triton_would_refuse_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        replace(CONFIG, **change)


def test_an_export_and_the_spec_make_a_config(linear_export: Callable[..., Export]) -> None:
    export = replace(linear_export(), options={"onnxruntime": {"intra_op_thread_count": "2"}})
    serve = ServeConfig(max_batch=4, queue_delay_us=7)
    config = config_of(export, "onnxruntime", name="m", version=1, serve=serve)
    assert config.file == "model.onnx"
    told = {
        "fettle.task": "classify",
        "fettle.classes": '["ok", "defective", "unsure"]',
        "fettle.resize": "squash",
    }
    assert config.parameters == {"intra_op_thread_count": "2", **told}
    assert (config.max_batch, config.queue_delay_us, config.warmup) == (4, 7, (1, 4))
    openvino = config_of(export, "openvino", name="m", version=1, serve=serve)
    assert openvino.parameters == {**told, "ENABLE_BATCH_PADDING": "YES"}


def test_a_detector_has_four_outputs_and_no_label_file(colour_detector: Callable[..., Export]) -> None:
    names = ('über-"Riss"', "a\nb", "{}")
    export = colour_detector(max_detections=7, classes=names)
    message = parse(config_of(export, "onnxruntime", name="m", version=1, serve=ServeConfig()).render())
    assert [(output.name, output.data_type, list(output.dims)) for output in message.output] == [
        ("boxes", pb.TYPE_FP32, [7, 4]),
        ("scores", pb.TYPE_FP32, [7]),
        ("labels", pb.TYPE_INT32, [7]),
        ("count", pb.TYPE_INT32, [1]),
    ]
    assert not any(output.label_filename for output in message.output)
    assert label_file(export) is None
    assert message.parameters["fettle.task"].string_value == "detect"
    assert tuple(json.loads(message.parameters["fettle.classes"].string_value)) == names
    assert [each.batch_size for each in message.model_warmup] == [1, 16]


@pytest.mark.parametrize(
    "policy", ["", "version_policy { latest { num_versions: 1 } }", "version_policy {", "nonsense"]
)
def test_a_foreign_config_is_not_guessed_at(policy: str) -> None:
    with pytest.raises(ArtifactError, match=r"somewhere/config\.pbtxt"):
        served_version(policy, source="somewhere/config.pbtxt")


def test_the_served_version_is_read_back() -> None:
    assert served_version(CONFIG.render(), source="x") == 3
