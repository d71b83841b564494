"""Kubeflow's task details, as a server of version 2.17 gave them, as states."""

import io
from datetime import UTC, datetime, timedelta

import pytest
from kfp_server_api import V2beta1PipelineTaskDetail, V2beta1Run, V2beta1RuntimeStatus
from kubernetes import client as k8s

from pipelines.cluster.follow import tidy
from pipelines.cluster.narrate import Teller
from pipelines.cluster.progress import Place, Step, place_of, run_state, steps

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def detail(name, state, start=0, end=None):
    at = [NOW + timedelta(seconds=each) if each is not None else None for each in (start, end)]
    return V2beta1PipelineTaskDetail(display_name=name, state=state, start_time=at[0], end_time=at[1])


def test_a_task_is_its_driver_and_itself():
    details = [
        detail("make-driver", "SUCCEEDED", 0, 5),
        detail("make", "SUCCEEDED", 10, 30),
        detail("executor", "SUCCEEDED", 10, 20),
        detail("again-driver", "SUCCEEDED", 0, 5),
        detail("again", "SUCCEEDED", 6, 6),
        detail("executor", "SKIPPED", 6, 6),
        detail("busy-driver", "SUCCEEDED", 0, 5),
        detail("busy", "RUNNING", 6),
        detail("soon-driver", "RUNNING", 0),
        detail("bad-driver", "SUCCEEDED", 0, 5),
        detail("bad", "FAILED", 6, 8),
        detail("worse-driver", "FAILED", 0, 5),
        detail("worse", None, 5, 5),
        detail("omitted-driver", None, 8, 8),
        detail("omitted", None, 8, 8),
        detail(None, None),
    ]
    names = ["make", "again", "busy", "soon", "bad", "worse", "omitted", "later"]
    found = {name: step.state for name, step in steps(details, names).items()}
    assert found == {
        "make": "done",
        "again": "cached",
        "busy": "running",
        "soon": "waiting",
        "bad": "failed",
        "worse": "failed",
        "omitted": "left out",
        "later": "waiting",
    }
    assert steps(details, names)["make"].seconds == 30


@pytest.mark.parametrize(
    ("state", "history", "told"),
    [
        ("FAILED", ["RUNNING", "FAILED"], "FAILED"),
        ("FAILED", ["CANCELING", "FAILED"], "CANCELED"),
        (None, [], "PENDING"),
    ],
)
def test_a_run_that_was_terminated_has_not_failed(state, history, told):
    run = V2beta1Run(state=state, state_history=[V2beta1RuntimeStatus(state=each) for each in history])
    assert run_state(run) == told


def test_a_pod_tells_its_task():
    def pod(node):
        annotations = {"workflows.argoproj.io/node-name": node}
        return k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="p", annotations=annotations))

    assert place_of(pod("castings-x7.root.quantize-int8-openvino.executor(1)")) == Place(
        "quantize-int8-openvino", False, 1
    )
    assert place_of(pod("castings-x7.root.train.executor")) == Place("train", False, 0)
    assert place_of(pod("castings-x7.root.train-driver")) == Place("train", True, 0)
    assert place_of(pod("castings-x7.root-driver")) is None
    assert place_of(k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="p"))) is None


def test_a_step_is_told_when_it_starts_and_when_it_ends():
    out = io.StringIO()
    teller = Teller(out)
    teller.show({"a": Step("a", "running"), "b": Step("b", "waiting")}, over=False)
    teller.show({"a": Step("a", "done", 75.2), "b": Step("b", "cached", 8)}, over=True)
    teller.show({"a": Step("a", "done", 75.2), "b": Step("b", "cached", 8)}, over=True)
    assert out.getvalue().splitlines() == [
        "        a starts",
        "[ 1/2] a  1 min 15 s",
        "[ 2/2] b  from the cache",
    ]


LOG = """\
time=2026-11-28T12:20:42.369Z level=INFO msg="waiting for signals" argo=true
I1128 12:20:42.495868      15 main.go:67] Setting log level to: '1'
[KFP Executor 2026-11-28 12:20:43,164 INFO]: Got executor_input:
{
    "inputs": {}
}
· validate int8-openvino: 30 test images
error: `dataset.path` holds no images.
F1128 11:58:13.065018      15 main.go:59] failed to execute component: exit status 3
Error: exit status 1""".splitlines()


def test_of_a_log_what_the_step_said_is_shown():
    assert tidy(LOG) == (LOG[6:8], "`dataset.path` holds no images.")
    assert tidy(LOG[:2] + LOG[8:]) == ([], "failed to execute component: exit status 3")
    assert tidy([]) == ([], "")
