"""Pods of the steps: defaults, and what a step says of its own."""

import pytest

from fettle.errors import SpecError
from fettle.spec import PodConfig, load_spec


def test_a_step_has_the_defaults_but_for_what_it_says():
    overrides = ["cluster.defaults.retries=0", "cluster.steps.train={gpu: 1, memory: 8Gi}"]
    cluster = load_spec(overrides=overrides).cluster
    assert cluster.pod("train") == PodConfig(retries=0, gpu=1, memory="8Gi")
    assert cluster.pod("export") == PodConfig(retries=0)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("cluster.steps.trian.gpu=1", "trian"),
        ("cluster.steps.train.gpus=1", "did you mean 'gpu'"),
        ("cluster.defaults.memory=8GB", "8GB"),
        ("cluster.defaults.gpu_resource=gpu", "gpu_resource"),
        ("cluster.defaults.tolerations=[{key: a, operator: Equal}]", "needs a value"),
        ("cluster.defaults.tolerations=[{key: a, value: b}]", "Exists has none"),
    ],
)
def test_mistakes_are_named(override, words):
    with pytest.raises(SpecError, match=words):
        load_spec(overrides=[override])
