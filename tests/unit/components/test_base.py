"""Inputs that are as many as the candidates."""

import pytest
from kfp.dsl import Artifact, Dataset, Input, Output

from components.base import Many, component, input_name


def gather(exports: Many, dataset: Input[Dataset], out: Output[Artifact], config: str):
    """Gather."""
    out.uri = ",".join(exports)


@pytest.fixture
def made():
    return component(gather, name="gather-all", many={"exports": ["int8-openvino", "baseline-onnxruntime"]})


def test_each_candidate_is_an_input_of_its_own(made):
    assert made.name == "gather-all"
    assert set(made.component_spec.inputs) == {
        "exports_int8_openvino", "exports_baseline_onnxruntime", "dataset", "config",
    }  # fmt: skip


def test_the_body_gets_them_by_candidate_name(made):
    class Out:
        uri = ""

    arguments = {input_name("exports", name): None for name in ("int8-openvino", "baseline-onnxruntime")}
    made.python_func(**arguments, dataset=None, out=(out := Out()), config="")
    assert out.uri == "int8-openvino,baseline-onnxruntime"


def test_a_component_without_many_is_only_renamed():
    def single(out: Output[Artifact], config: str):
        """Single."""

    renamed = component(single, name="single-two", many={})
    assert renamed.name == "single-two"
    assert set(renamed.component_spec.inputs) == {"config"}
