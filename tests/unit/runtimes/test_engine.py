"""Engines of every runtime that is installed: right answers, clear refusals."""

import os
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fettle.errors import ArtifactError, HardwareError, ServeError, SpecError
from fettle.hardware import passport
from fettle.runtimes import open_engine

RUNTIMES = ("onnxruntime", "openvino")
TOLERANCE = {"as exported": 1e-6, "float32": 1e-5, "bfloat16": 1e-2}


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_gives_the_answers_that_numpy_gives(runtime, model, images, expected):
    with open_engine(runtime, model) as engine:
        (answers,) = engine(images)
        assert engine.image_shape == (8, 8, 3)
        assert answers.dtype == np.float32
        np.testing.assert_allclose(answers, expected, atol=TOLERANCE[engine.precision])
        # The answers must not hang on who shares the batch.
        np.testing.assert_allclose(np.concatenate([engine(images[i : i + 1])[0] for i in range(5)]), answers, atol=1e-6)


def test_outputs_keep_their_order_and_kind(runtime, tmp_path, images):
    """Whole numbers are int32, also where the graph has int64; fractions are float32."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["pixels", "axes"], ["top"], keepdims=0),
        helper.make_node("Cast", ["top"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Cast", ["top"], ["small"], to=TensorProto.INT32),
    ]
    kinds = {"whole": TensorProto.INT64, "top": TensorProto.FLOAT, "small": TensorProto.INT32}
    graph = helper.make_graph(
        nodes,
        "kinds",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 8, 8, 3])],
        [helper.make_tensor_value_info(name, kind, ["N", 3]) for name, kind in kinds.items()],
        [numpy_helper.from_array(np.array([1, 2]), "axes")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "k.onnx")
    with open_engine(runtime, tmp_path / "k.onnx") as engine:
        answers = engine(images)
    assert [answer.dtype.name for answer in answers] == ["int32", "float32", "int32"]
    for answer in answers:
        np.testing.assert_array_equal(answer, images.max((1, 2)))


def test_an_output_without_a_row_for_every_image_is_refused(runtime, tmp_path, images):
    graph = helper.make_graph(
        [helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
         helper.make_node("ReduceMax", ["pixels", "axes"], ["top"], keepdims=0)],
        "all",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 8, 8, 3])],
        [helper.make_tensor_value_info("top", TensorProto.FLOAT, [3])],
        [numpy_helper.from_array(np.array([0, 1, 2]), "axes")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), tmp_path / "k.onnx")
    with open_engine(runtime, tmp_path / "k.onnx") as engine, pytest.raises(ServeError, match="5 images"):
        engine(images)


def test_answers_are_the_callers_own(runtime, model, images):
    with open_engine(runtime, model) as engine:
        (first,) = engine(images)
        copy = first.copy()
        engine(255 - images)
        np.testing.assert_array_equal(first, copy)


def test_strided_and_read_only_images_are_taken(runtime, model, images, expected):
    images.flags.writeable = False
    with open_engine(runtime, model) as engine:
        np.testing.assert_allclose(engine(images[::2])[0], expected[::2], atol=1e-2)
        np.testing.assert_allclose(engine(images[:, :, ::-1])[0], expected, atol=1e-2)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (np.zeros((1, 8, 8, 3), np.float32), "must be uint8"),
        (np.zeros((8, 8, 3), np.uint8), "must have shape"),
        (np.zeros((1, 3, 8, 8), np.uint8), "must have shape"),
        (np.zeros((1, 9, 8, 3), np.uint8), "must have shape"),
        (np.zeros((0, 8, 8, 3), np.uint8), "N >= 1"),
    ],
)
def test_other_arrays_are_refused(runtime, model, broken, words):
    with open_engine(runtime, model) as engine, pytest.raises(ServeError, match=words):
        engine(broken)


def test_a_closed_engine_says_so(runtime, model, images):
    engine = open_engine(runtime, model)
    engine.close()
    engine.close()
    with pytest.raises(ServeError, match="closed"):
        engine(images)


@pytest.mark.parametrize("content", [b"", b"not a model" * 20, None])
def test_a_corrupt_file_is_an_artifact_error(runtime, model, content):
    model.write_bytes(model.read_bytes()[:-40] if content is None else content)
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        open_engine(runtime, model)


def test_a_missing_file_is_an_artifact_error(runtime, tmp_path):
    with pytest.raises(ArtifactError, match="does not exist"):
        open_engine(runtime, tmp_path / "model.onnx")


def test_a_model_that_takes_no_photographs_is_refused(runtime, make_model):
    with pytest.raises(ArtifactError, match="uint8"):
        open_engine(runtime, make_model(dtype=TensorProto.FLOAT))


def test_a_batch_that_the_model_cannot_take_is_a_serve_error(runtime, make_model, images):
    with open_engine(runtime, make_model(batch=2)) as engine:
        assert engine(images[:2])[0].shape == (2, 4)
        with pytest.raises(ServeError, match="batch of 5"):
            engine(images)


@pytest.mark.parametrize(
    ("runtime", "options"),
    [
        ("onnxruntime", {"intra_op_thread_count": "2", "inter_op_thread_count": "1", "execution_mode": "1"}),
        ("onnxruntime", {"enable_mem_arena": "0", "enable_mem_pattern": "0"}),
        ("openvino", {"INFERENCE_NUM_THREADS": "1", "NUM_STREAMS": "AUTO", "PERFORMANCE_HINT": "LATENCY"}),
        ("openvino", {"NUM_STREAMS": "1", "PERFORMANCE_HINT": "throughput"}),
    ],
)
def test_tritons_parameters_are_taken(runtime, options, model, images, expected):
    with open_engine(runtime, model, options=options) as engine:
        np.testing.assert_allclose(engine(images)[0], expected, atol=1e-2)


@pytest.mark.parametrize(
    ("runtime", "options", "words"),
    [
        ("onnxruntime", {"INTRA_OP": "1"}, "no option 'INTRA_OP'"),
        ("onnxruntime", {"intra_op_thread_count": "-1"}, "whole number"),
        ("onnxruntime", {"execution_mode": "2"}, "0 or 1"),
        ("openvino", {"threads": "1"}, "no option 'threads'"),
        ("openvino", {"HINT_BF16": "NO"}, "must be YES"),
        ("openvino", {"NUM_STREAMS": "many"}, "whole number"),
        ("openvino", {"PERFORMANCE_HINT": "FAST"}, "LATENCY or THROUGHPUT"),
        ("tflite", {}, "must be one of onnxruntime, openvino, tensorrt"),
    ],
)
def test_other_parameters_are_refused(runtime, options, words, model):
    with pytest.raises(SpecError, match=words):
        open_engine(runtime, model, options=options)


def test_threads_beat_the_option(model):
    with open_engine("openvino", model, threads=1, options={"INFERENCE_NUM_THREADS": "2"}) as engine:
        assert engine.compiled.get_property("INFERENCE_NUM_THREADS") == 1


def test_openvino_tells_the_precision_in_use(model):
    with open_engine("openvino", model, options={"HINT_BF16": "YES"}) as engine:
        assert engine.precision == ("bfloat16" if passport().native_bf16 else "float32")
    with open_engine("openvino", model) as engine:
        assert engine.precision in ("float32", "bfloat16", "float16")


def test_a_runtime_that_is_not_installed_is_named(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "fettle.runtimes.tensorrt", None)
    with pytest.raises(HardwareError, match="tensorrt cannot be loaded here"):
        open_engine("tensorrt", model)


def test_the_room_needs_numpy_and_the_runtime_only():
    """Triton's environment has no torch, no pydantic and no other room."""
    code = """
import sys
import fettle.runtimes.onnxruntime, fettle.runtimes.openvino
rooms = {name.split(".")[1] for name in sys.modules if name.startswith("fettle.")}
assert rooms <= {"runtimes", "errors"}, rooms
assert not {"torch", "pydantic", "onnx"} & set(sys.modules), sorted(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_onnx_runtime_reports_to_nobody(model, tmp_path):
    """Nor does it make an identity to report under, which it does where nobody tells it not to."""
    code = (
        "import sys, pathlib; from fettle.runtimes import open_engine; "
        "open_engine('onnxruntime', pathlib.Path(sys.argv[1])).__enter__()"
    )
    env = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    subprocess.run([sys.executable, "-c", code, model], env={**env, "HOME": str(tmp_path)}, check=True)
    assert not (tmp_path / ".cache").exists()
