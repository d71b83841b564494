"""Each precision in each runtime: the answers stay, the file shrinks, the layers are quantized indeed."""

import dataclasses
from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from fettle.errors import HardwareError, OptimizeError
from fettle.hardware import Passport
from fettle.optimize import quantization
from fettle.optimize.onnx_quantization import TENSORRT, quantize_onnx
from fettle.optimize.quantization import METHODS, check_answers, quantize
from fettle.optimize.support import RUNTIMES
from fettle.runtimes import open_engine
from fettle.spec import QuantizeConfig, TensorRTConfig


def make(source, folder, images, runtime, **config):
    return quantize(source, folder, images, config=QuantizeConfig(**config), runtime=runtime)


def ask(export, runtime, images):
    with open_engine(runtime, export.file, options=export.runtime_options(runtime)) as engine:
        return engine(images)[0]


@pytest.mark.parametrize(
    ("runtime", "config", "tolerance"),
    [
        ("onnxruntime", {"precision": "int8"}, 0.1),
        ("onnxruntime", {"precision": "int8", "calibration": "percentile"}, 0.1),
        ("onnxruntime", {"precision": "int8", "calibration": "entropy"}, 0.2),
        ("onnxruntime", {"precision": "int8", "mode": "dynamic"}, 0.1),
        ("onnxruntime", {"precision": "fp16"}, 0.01),
        ("openvino", {"precision": "int8"}, 0.1),
        ("openvino", {"precision": "int8", "calibration": "percentile"}, 0.1),
        ("openvino", {"precision": "int8", "calibration": "entropy"}, 0.1),
        ("openvino", {"precision": "fp16"}, 0.05),
        ("openvino", {"precision": "bf16"}, 0.05),
    ],
)
def test_answers_stay_near_those_in_float(source, made, images, runtime, config, tolerance, monkeypatch):
    monkeypatch.setattr(quantization, "passport", lambda: Passport(cpu="x", cores=1, flags=("amx_bf16",)))
    made = made(runtime, **config)
    expected = ask(source, "onnxruntime", images)
    assert np.ptp(expected, axis=0).max() > 0.2, "the images must not look alike to the network"
    answers = ask(made, runtime, images)
    np.testing.assert_allclose(answers, expected, atol=tolerance)
    np.testing.assert_allclose(answers.sum(1), 1, atol=1e-3)
    # Whoever shares the batch (save in dynamic mode, which takes its ranges from the batch).
    alone = 0.02 if config.get("mode") == "dynamic" else 1e-4
    np.testing.assert_allclose(ask(made, runtime, images[:1]), answers[:1], atol=alone)
    assert made.precision == config["precision"]
    assert made.runtimes == (runtime,)
    assert made.input == source.input
    assert {file.name for file in made.path.iterdir()} == {file.name for file in made.files}


def test_static_int8_for_onnxruntime_quantizes_the_layers_and_not_around_them(made):
    graph = onnx.load(made("onnxruntime").file).graph
    constants = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    producers = {output: node for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 5
    for node in convolutions:
        assert [producers[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
        weights, scale = producers[node.input[1]].input[:2]
        assert constants[weights].dtype == np.int8
        assert constants[scale].shape == (len(constants[weights]),), "a scale for every output channel"
    for name in ("preprocess/Mul", "preprocess/Add"):
        node = next(node for node in graph.node if node.name == name)
        assert producers[node.input[0]].op_type != "DequantizeLinear"


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    ("flags", "wanted", "bits"),
    [
        (("avx2",), None, 7),
        (("avx2", "avx512f"), None, 7),
        (("avx2", "avx512f", "avx512_vnni"), None, 8),
        (("asimd", "asimddp"), None, 8),
        (("avx2", "avx_vnni"), True, 7),
        (("avx2",), False, 8),
    ],
)
def test_weights_have_7_bits_where_products_of_8_overflow(
    source, tmp_path, images, monkeypatch, runtime, flags, wanted, bits
):
    monkeypatch.setattr(quantization, "passport", lambda: Passport(cpu="x", cores=1, flags=flags))
    made = make(source, tmp_path, images, runtime, precision="int8", reduce_range=wanted)
    largest = {layer: np.abs(weights).max() for layer, weights in integer_weights(made).items()}
    assert len(largest) >= 3
    reduced = {layer for layer, value in largest.items() if value <= 64}
    # NNCF takes a bit from the first layer in any case, and none from depthwise ones, which add nothing up.
    told = {"onnxruntime": set(largest), "openvino": {"expand.0/Conv"}}[runtime]
    assert reduced & told == (told if bits == 7 else set())


def integer_weights(export) -> dict[str, np.ndarray]:
    """Return the weights of the quantized layers as the integers that are stored, by ONNX name."""
    if export.format == "onnx":
        graph = onnx.load(export.file).graph
        constants = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
        producers = {output: node for node in graph.node for output in node.output}
        convolutions = [node for node in graph.node if node.name in quantized_layers(export) and node.op_type == "Conv"]
        return {node.name: constants[producers[node.input[1]].input[0]].astype(int) for node in convolutions}
    import openvino as ov

    found = {}
    for node in ov.Core().read_model(export.file).get_ops():
        name = node.get_friendly_name().removesuffix("/WithoutBiases")
        if node.get_type_name() in ("Convolution", "GroupConvolution") and name in quantized_layers(export):
            below = node.input_value(1).get_node()
            while below.get_type_name() != "Constant":
                below = below.input_value(0).get_node()
            found[name] = below.get_data().astype(int)
    return found


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_named_layers_stay_in_float(source, tmp_path, images, runtime):
    made = make(source, tmp_path, images, runtime, precision="int8", keep_float=[r"^expand", "head"])
    assert "expand.0/Conv" not in quantized_layers(made)
    assert "stem.0/Conv" in quantized_layers(made)


def quantized_layers(export) -> set[str]:
    """Return the ONNX names of the layers that read quantized inputs and weights."""
    if export.format == "onnx":
        graph = onnx.load(export.file).graph
        producers = {output: node.op_type for node in graph.node for output in node.output}
        return {node.name for node in graph.node if {producers.get(n) for n in node.input[:2]} == {"DequantizeLinear"}}
    import openvino as ov

    model = ov.Core().read_model(export.file)
    layers = [node for node in model.get_ops() if node.get_type_name() in ("Convolution", "GroupConvolution", "MatMul")]
    return {
        node.get_friendly_name().removesuffix("/WithoutBiases")
        for node in layers
        if node.input_value(0).get_node().get_type_name() == "FakeQuantize"
    }


def test_openvino_runs_the_layers_in_int8_depthwise_too(made):
    """NNCF leaves depthwise weights in float where it is given what ``Core.read_model`` makes."""
    made = made("openvino")
    assert {"stem.0/Conv", "depthwise.0/Conv", "expand.0/Conv"} <= quantized_layers(made)
    with open_engine("openvino", made.file) as engine:
        layers = [node.get_rt_info() for node in engine.compiled.get_runtime_model().get_ops()]
    kinds = Counter(
        info["runtimePrecision"].astype(str) for info in layers if info["layerType"].astype(str) == "Convolution"
    )
    assert kinds["i8"] + kinds["u8"] >= 3, kinds


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_int8_is_the_same_on_every_run_and_nothing_is_printed(source, made, tmp_path, images, runtime, capfd):
    again = make(source, tmp_path, images, runtime)
    assert capfd.readouterr().out == ""
    for first, second in zip(made(runtime).files, again.files, strict=True):
        assert first.read_bytes() == second.read_bytes()


def test_calibration_sees_all_images_a_few_at_a_time(source, tmp_path, images):
    """The range of the first layer's input is the range over the whole set, not over one batch."""
    dark, bright = np.zeros_like(images[:9]), np.full_like(images[:1], 255)
    made = make(source, tmp_path, np.concatenate([dark, bright]), "onnxruntime", precision="int8")
    graph = onnx.load(made.file).graph
    stem = next(node for node in graph.node if node.name == "stem.0/Conv")
    dequantize = next(node for node in graph.node if stem.input[0] in node.output)
    constants = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    pixels = (np.array([[0.0], [1.0]]) - [0.4, 0.5, 0.6]) / [0.2, 0.25, 0.3]
    assert constants[dequantize.input[1]] == pytest.approx((pixels.max() - pixels.min()) / 255, rel=1e-3)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_keeping_everything_in_float_is_refused(source, tmp_path, images, runtime):
    with pytest.raises(OptimizeError, match="No layer was quantized"):
        make(source, tmp_path, images, runtime, precision="int8", keep_float=["."])


@pytest.mark.parametrize(("pattern", "words"), [("nosuch", "finds no node"), ("(", "not a regular expression")])
def test_a_pattern_that_finds_nothing_is_refused(source, tmp_path, images, pattern, words):
    with pytest.raises(OptimizeError, match=words):
        make(source, tmp_path, images, "onnxruntime", precision="int8", keep_float=[pattern])


def test_a_precision_that_a_runtime_cannot_do_names_those_that_can(source, tmp_path, images):
    with pytest.raises(OptimizeError, match="onnxruntime cannot run bf16: the runtimes that can are openvino"):
        make(source, tmp_path, images, "onnxruntime", precision="bf16")
    with pytest.raises(OptimizeError, match="the runtimes that can are onnxruntime"):
        make(source, tmp_path, images, "openvino", precision="int8", mode="dynamic")


def test_bf16_needs_a_cpu_that_has_it(source, tmp_path, images, monkeypatch):
    monkeypatch.setattr(quantization, "passport", lambda: Passport(cpu="Old CPU", cores=1, flags=("avx2",)))
    with pytest.raises(HardwareError, match="Old CPU"):
        make(source, tmp_path, images, "openvino", precision="bf16")


def test_what_is_promised_can_be_made():
    promised = {(lever, runtime) for lever, runtimes in RUNTIMES.items() for runtime in runtimes} - {
        ("tensorrt", "tensorrt")
    }
    assert promised == set(METHODS)


def test_a_quantized_model_is_not_quantized_again(made, tmp_path, images):
    with pytest.raises(OptimizeError, match="float32 ONNX export"):
        quantize(made("onnxruntime"), tmp_path, images, config=QuantizeConfig(), runtime="onnxruntime")


@pytest.mark.parametrize(
    ("ruin", "words"),
    [(lambda value: value * np.nan, "NaN or infinity"), (lambda value: value * 0, "the same for all")],
)
def test_ruined_answers_are_refused(source, tmp_path, images, ruin, words):
    model = onnx.load(source.file)
    weight = next(value for value in model.graph.initializer if value.name.endswith("head.weight"))
    weight.CopyFrom(numpy_helper.from_array(ruin(numpy_helper.to_array(weight)), weight.name))
    broken = dataclasses.replace(source, path=tmp_path, precision="int8")
    onnx.save(model, broken.file)
    with pytest.raises(OptimizeError, match=words):
        check_answers(source, broken, images, runtimes=("onnxruntime", "onnxruntime"))


def test_for_tensorrt_int8_is_symmetric_and_biases_stay_float(source, tmp_path, images):
    file = tmp_path / "trt.onnx"
    assert quantize_onnx(source.file, file, images, config=QuantizeConfig(), target=TENSORRT) >= 5
    graph = onnx.load(file).graph
    constants = {value.name: numpy_helper.to_array(value) for value in graph.initializer}
    zeros = [constants[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"]
    assert all(zero.dtype == np.int8 for zero in zeros)
    assert all((zero == 0).all() for zero in zeros)
    assert not any(value.dtype == np.int32 and value.ndim for value in constants.values())


@pytest.mark.parametrize("precision", ["float32", "fp16", "int8"])
def test_what_tensorrt_builds_from_answers_the_same(source, tmp_path, images, precision):
    file = tmp_path / "model.onnx"
    quantization.prepare_for_tensorrt(source, file, images, config=TensorRTConfig(precision=precision))
    prepared = dataclasses.replace(source, path=tmp_path)
    np.testing.assert_allclose(
        ask(prepared, "onnxruntime", images), ask(source, "onnxruntime", images), atol=0.1
    )  # fmt: skip
