"""What a server of Kubernetes' API answers, and what is said of it."""

import pytest

from components.cluster.kube import ClusterError, Kube, inside


@pytest.fixture
def kube(server) -> Kube:
    return Kube("c", "n", server.client)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "The cluster of context 'c' does not know who you are (said so): log in to it again."),
        (403, "The cluster of context 'c' does not allow it: said so."),
        (422, "The cluster of context 'c' refused (HTTP 422): said so."),
    ],
)
def test_a_refusal_is_one_sentence(server, kube, status, words):
    server.say(status, "said\nso")
    with pytest.raises(ClusterError) as told:
        kube.pods("a=b")
    assert str(told.value) == words


def test_what_is_not_there_is_none(server, kube):
    server.say(404, "not found")
    assert (kube.config_map("x"), kube.service("x", ""), kube.pod("x")) == (None, None, None)
    with pytest.raises(ClusterError, match="There is no Secret 'x' in namespace 'n'"):
        kube.secret("x")


def test_a_log_is_that_of_the_container_that_is_asked_for(server, kube):
    server.body = b'{"a": 1}\nlast\n'
    assert kube.log("p", lines=5) == ['{"a": 1}', "last"]
    assert "container=main" in server.asked
    assert "tailLines=5" in server.asked
    assert kube.log("p", container="node") == ['{"a": 1}', "last"]
    assert "container=node" in server.asked
    assert "tailLines" not in server.asked
    server.status = 400
    assert kube.log("p") == []


def test_nobody_there_is_said_to_a_person_with_a_remedy_and_to_a_pod_without(server):
    server.url = "http://127.0.0.1:1"
    with pytest.raises(ClusterError, match=r"'c' cannot be reached at http://127.0.0.1:1 \(.+\): start it, or choose"):
        Kube("c", "n", server.client).pods("a=b")
    with pytest.raises(ClusterError, match=r"cannot be reached at http://127.0.0.1:1: .*refused.*\.$"):
        Kube("in this pod", "n", server.client, remedies={}).pods("a=b")


def test_a_process_in_no_pod_is_told(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ClusterError, match="in no pod of Kubernetes"):
        inside()
