"""What a client reads in a configuration."""

import json

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2 as pb

from fettle.publish.config import config_of
from fettle.serve.description import Description
from fettle.spec.serve import ServeConfig


def as_json(text: str) -> dict:
    """Return a configuration as Triton's gRPC client gives it."""
    return json_format.MessageToDict(text_format.Parse(text, pb.ModelConfig()), preserving_proto_field_name=True)


def test_all_that_was_promoted_is_read(colour_detector) -> None:
    export = colour_detector(classes=("a\nb", 'with "quotes"', "käse"), size=32)
    config = config_of(export, "openvino", name="m", version=12, serve=ServeConfig(max_batch=4))
    assert Description.read(as_json(config.render())) == Description(
        version="12", task="detect", classes=export.classes, resize="squash", image_shape=(32, 32, 3), max_batch=4
    )


def test_a_configuration_without_our_parameters_is_a_classifiers_if_it_looks_so(linear_export, colour_detector) -> None:
    for make, task, by_class in ((linear_export, "classify", "probabilities"), (colour_detector, "", None)):
        raw = as_json(config_of(make(), "onnxruntime", name="m", version=1, serve=ServeConfig()).render())
        del raw["parameters"]
        told = Description.read(json.loads(json.dumps(raw)))
        assert (told.task, told.classes, told.resize, told.by_class) == (task, (), "squash", by_class)


def test_an_open_policy_names_no_version(linear_export) -> None:
    raw = as_json(config_of(linear_export(), "onnxruntime", name="m", version=1, serve=ServeConfig()).render())
    for policy in ({"latest": {"num_versions": 1}}, {"specific": {"versions": [1, 2]}}, {}):
        assert Description.read(raw | {"version_policy": policy}).version == ""
