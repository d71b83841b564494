"""A component of one body or several."""

from types import SimpleNamespace

from kfp.dsl import Artifact, Dataset, Input, Metrics, Output

from components.base import Many, Part, component


def make(dataset: Input[Dataset], out: Output[Artifact], config: str, extra: str = "default"):
    """Make."""
    out.path = f"{dataset.path}+{config}+{extra}"


def gather(exports: Many, out: Output[Artifact], metrics: Output[Metrics], config: str, other: Input[Artifact] = None):
    """Gather."""
    out.path = " ".join(f"{name}={each.path}" for name, each in exports.items())
    metrics.seen = other


PARTS = [
    Part("make-a.b", make, {"dataset": "ingest"}, ["config"]),
    Part("gather", gather, {"exports": {"a.b": "make_a_b_out", "c": "export_c"}}, ["config"]),
]


def test_a_part_takes_what_an_earlier_one_made():
    made = component(PARTS, name="make-and-gather", inputs=["ingest", "export_c"])
    first, last, metrics = SimpleNamespace(path=""), SimpleNamespace(path=""), SimpleNamespace()
    made.python_func(
        ingest=SimpleNamespace(path="in"), export_c=SimpleNamespace(path="x"), make_a_b_out=first, make_a_b_config="1",
        gather_out=last, gather_metrics=metrics, gather_config="2",
    )  # fmt: skip
    assert first.path == "in+1+default"
    assert last.path == "a.b=in+1+default c=x"
    assert metrics.seen is None


def test_an_artifact_in_two_roles_is_one_input():
    part = Part("gather", gather, {"exports": {"a": "export", "b": "export"}, "other": "export"}, ["config"])
    made = component([part], name="gather", inputs=["export"])
    given, out, metrics = SimpleNamespace(path="x"), SimpleNamespace(path=""), SimpleNamespace()
    made.python_func(export=given, gather_out=out, gather_metrics=metrics, gather_config="")
    assert (out.path, metrics.seen) == ("a=x b=x", given)
    assert set(made.component_spec.inputs) == {"export", "gather_config"}
    assert made.description == "Gather."


def test_its_interface_is_that_of_the_parts():
    made = component(PARTS, name="make-and-gather", inputs=["ingest", "export_c"])
    assert made.name == "make-and-gather"
    assert set(made.component_spec.inputs) == {"ingest", "export_c", "make_a_b_config", "gather_config"}
    assert set(made.component_spec.outputs) == {"make_a_b_out", "gather_out", "gather_metrics"}
    assert made.component_spec.outputs["gather_metrics"].type == "system.Metrics@0.0.1"
