"""Objects: names, labels, and that what one names is there."""

from collections import Counter
from collections.abc import Iterator, Sequence

import pytest

from .rendering import Chart, Object, containers, named, part, pods

# What switching a part off removes, by the labels of its objects.
PARTS = {
    "pipelines": {
        "pipelines-api", "pipelines-agent", "pipelines-schedules", "pipelines-metadata", "pipelines-ui",
        "pipelines-envoy", "pipelines-runner",
    },
    "argo": {"argo"},
    "database": {"database"},
    "store": {"minio"},
    "triton": {"triton"},
    "cache": {"cache"},
    "monitoring": {"monitoring"},
}  # fmt: skip
INSTEAD: dict[str, dict[str, object]] = {
    "database": {"database__existingSecret": "s", "database__external__host": "mysql"},
    "store": {"store__existingSecret": "s", "store__external__endpoint": "http://minio:9000"},
}


def names(objects: Sequence[Object]) -> set[tuple[str, str]]:
    return {(found["kind"], found["metadata"]["name"]) for found in objects}


def test_no_two_objects_have_one_name(objects: Sequence[Object]) -> None:
    counts = Counter((found["apiVersion"], found["kind"], found["metadata"]["name"]) for found in objects)
    assert {name for name, count in counts.items() if count > 1} == set()


def test_names_hold_the_release(chart: Chart) -> None:
    fixed = {
        "ml-pipeline", "metadata-grpc-service", "ml-pipeline-ui", "mysql", "pipeline-runner", "kfp-launcher",
        "fettle-platform", "workflow-controller",
    }  # fmt: skip
    for release, prefix in (("fettle", "fettle-"), ("line-1", "line-1-fettle-"), ("x" * 53, "x" * 40)):
        found = chart.render("gpu", release=release)
        assert all(name in fixed or name.startswith(prefix) for _, name in names(found))
        assert all(len(name) <= 63 for _, name in names(found))


def test_labels(objects: Sequence[Object]) -> None:
    for found in objects:
        labels = found["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "fettle"
        assert labels["app.kubernetes.io/instance"] == "fettle"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"


def test_selectors_match_their_pods(objects: Sequence[Object]) -> None:
    owners = [(found, template) for found, template in pods(objects) if found["kind"] not in ("Job", "Pod")]
    chosen = [found["spec"]["selector"]["matchLabels"].items() for found, _ in owners]
    for (found, template), selector in zip(owners, chosen, strict=True):
        labels = template["metadata"]["labels"].items()
        assert selector <= labels, found["metadata"]["name"]
        assert sum(other <= labels for other in chosen) == 1, "two owners would fight for these pods"


def test_services_reach_pods(objects: Sequence[Object]) -> None:
    templates = [template for _, template in pods(objects)]
    for service in (found for found in objects if found["kind"] == "Service"):
        selector = service["spec"]["selector"].items()
        behind = [template for template in templates if selector <= template["metadata"]["labels"].items()]
        assert len(behind) == 1, service["metadata"]["name"]
        ports = {port["name"] for container in containers(behind[0]) for port in container.get("ports", [])}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_policies_and_budgets_and_monitors_match(objects: Sequence[Object]) -> None:
    templates = [template["metadata"]["labels"].items() for _, template in pods(objects)]
    services = [found["metadata"]["labels"].items() for found in objects if found["kind"] == "Service"]
    for found in objects:
        if found["kind"] == "NetworkPolicy":
            assert any(found["spec"]["podSelector"]["matchLabels"].items() <= labels for labels in templates)
        if found["kind"] == "PodDisruptionBudget":
            assert any(found["spec"]["selector"]["matchLabels"].items() <= labels for labels in templates)
        if found["kind"] == "ServiceMonitor":
            assert sum(found["spec"]["selector"]["matchLabels"].items() <= labels for labels in services) == 1


def test_every_program_has_a_policy(chart: Chart) -> None:
    found = chart.render("gpu")
    guarded = {part(each) for each in found if each["kind"] == "NetworkPolicy"}
    assert {part(owner) for owner, _ in pods(found)} - {"buckets", "test"} == guarded
    assert not [each for each in chart.render("gpu", networkPolicy__enabled=False) if each["kind"] == "NetworkPolicy"]


def test_store_and_database_are_for_their_users(chart: Chart) -> None:
    found = chart.render("gpu")
    for name, users in {
        "fettle-database": {"pipelines-api", "pipelines-metadata"},
        "fettle-minio": {"triton", "pipelines-api", "pipelines-ui", "buckets"},
        "fettle-cache": {"triton"},
    }.items():
        (rule,) = named(found, "NetworkPolicy", name)["spec"]["ingress"]
        peers = [peer["podSelector"].get("matchLabels", {}) for peer in rule["from"]]
        assert {peer["app.kubernetes.io/component"] for peer in peers if peer} == users


def test_the_machines_of_trainjobs_reach_the_store_alone(chart: Chart) -> None:
    def reached(**values: object) -> set[str]:
        return {
            found["metadata"]["name"]
            for found in chart.render("gpu", **values)
            if found["kind"] == "NetworkPolicy" and "jobset.sigs.k8s.io/jobset-name" in str(found["spec"])
        }

    assert reached(pipelines__trainJobs=True) == {"fettle-minio"}
    assert not reached(pipelines__trainJobs=False)


def references(value: object) -> Iterator[tuple[str, str, str]]:
    """Yield kind, name and key of every Secret and ConfigMap that is named below."""
    kinds = {"secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap", "configMap": "ConfigMap"}
    if isinstance(value, dict):
        for key, child in value.items():
            if key in kinds and isinstance(child, dict):
                yield kinds[key], child["name"], child.get("key", "")
            yield from references(child)
    for child in value if isinstance(value, list) else ():
        yield from references(child)


def test_what_pods_name_is_there(chart: Chart) -> None:
    for found in (chart.render("cpu"), chart.render("gpu")):
        accounts = {name for kind, name in names(found) if kind == "ServiceAccount"} | {"default"}
        for owner, template in pods(found):
            assert template["spec"]["serviceAccountName"] in accounts
            volumes = {volume["name"] for volume in template["spec"].get("volumes", [])}
            claims = {claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates", [])}
            for container in containers(template):
                assert {mount["name"] for mount in container.get("volumeMounts", [])} <= volumes | claims
            for kind, name, key in references(template):
                assert not key or key in named(found, kind, name)["data"], (kind, name, key)


def test_external_parts_are_entered_by_given_secrets(chart: Chart) -> None:
    found = chart.render("external")
    assert not [each for each in found if each["kind"] == "Secret"]
    asked = {name for _, template in pods(found) for kind, name, _ in references(template) if kind == "Secret"}
    assert asked == {"fettle-mysql", "fettle-bucket", "fettle-triton-token"}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_off_takes_its_objects_and_no_others(chart: Chart, name: str) -> None:
    everything = chart.render("gpu", cache__enabled=True)
    others = {"monitoring"} if name == "triton" else set()
    tests = {"fettle-test-triton"} if name == "triton" else {"fettle-test-pipelines"} if name == "pipelines" else set()
    left = chart.render("gpu", **{f"{name}__enabled": False}, **INSTEAD.get(name, {}))
    gone = {
        (found["kind"], found["metadata"]["name"])
        for found in everything
        if part(found) in PARTS[name] | others or found["metadata"]["name"] in tests
    }
    # The Job that makes buckets is another one when the store is another one.
    stable = [each for each in everything if each["kind"] != "Job"]
    assert names([each for each in left if each["kind"] != "Job"]) == names(stable) - gone


def test_the_address_book(chart: Chart) -> None:
    assert named(chart.render("cpu"), "ConfigMap", "fettle-platform")["data"] == {
        "kfp": "ml-pipeline:8888",
        "ui": "ml-pipeline-ui:80",
        "image": "fettle/step:0.1.0",
        "s3-endpoint": "http://fettle-minio.here.svc:9000",
        "s3-region": "us-east-1",
        "s3-secret": "fettle-s3",
        "data": "s3://fettle/data",
        "repository": "s3://fettle-models",
        "triton": "fettle-triton:8000",
        "triton-pods": "fettle-triton-pods:8000",
    }


def test_the_address_book_of_external_parts(chart: Chart) -> None:
    book = named(
        chart.render(
            "external",
            pipelines__enabled=False,
            pipelines__external__kfp="ml-pipeline.kubeflow:8888",
            triton__enabled=False,
            triton__external__http="triton.serving:8000",
        ),
        "ConfigMap",
        "fettle-platform",
    )["data"]
    assert book["kfp"] == "ml-pipeline.kubeflow:8888"
    assert book["ui"] == ""
    assert book["triton"] == book["triton-pods"] == "triton.serving:8000"
    assert book["s3-endpoint"] == "https://s3.eu-west-1.amazonaws.com"
    assert book["s3-secret"] == "fettle-bucket"


def test_a_job_that_does_something_else_has_another_name(chart: Chart) -> None:
    """Kubernetes refuses to change a Job: an upgrade that tried would fail."""
    changes: list[dict[str, object]] = [
        {}, {"images__light__tag": "2"}, {"store__bucket": "other"}, {"podDefaults__nodeSelector": {"disk": "fast"}},
        {"global__imagePullPolicy": "Always"}, {"store__region": "eu-west-1"},
    ]  # fmt: skip
    jobs = [next(found for found in chart.render("cpu", **change) if found["kind"] == "Job") for change in changes]
    assert len({job["metadata"]["name"] for job in jobs}) == len(changes)
    again = next(found for found in chart.render("cpu") if found["kind"] == "Job")
    assert again == jobs[0]
