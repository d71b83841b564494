"""Pods: Pod Security "restricted", images, settings, probes, what they ask of a machine."""

from collections.abc import Sequence

import pytest

from .rendering import Chart, Object, containers, part, pods

DIGEST = "sha256:" + "a" * 64
# Its program has no port and ends by itself; tests and the making of buckets end.
NO_PROBES = {"pipelines-agent", "buckets"}


def test_pods_are_restricted(objects: Sequence[Object]) -> None:
    for found, template in pods(objects):
        of_pod = template["spec"]["securityContext"]
        assert of_pod["runAsNonRoot"] is True, found["metadata"]["name"]
        assert of_pod["runAsUser"] > 0
        assert of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(template["spec"])
        assert all("hostPath" not in volume for volume in template["spec"].get("volumes", []))
        for container in containers(template):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}


def test_a_token_is_mounted_only_where_a_role_is_bound(objects: Sequence[Object]) -> None:
    bound = {subject["name"] for found in objects if found["kind"] == "RoleBinding" for subject in found["subjects"]}
    for found, template in pods(objects):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is (spec["serviceAccountName"] in bound), found["metadata"]["name"]


def test_nothing_reaches_beyond_its_namespace(objects: Sequence[Object]) -> None:
    assert not {found["kind"] for found in objects} & {"ClusterRole", "ClusterRoleBinding", "Namespace"}
    assert {found["metadata"]["namespace"] for found in objects} == {"here"}


def test_roles_are_narrow(objects: Sequence[Object]) -> None:
    for role in (found for found in objects if found["kind"] == "Role"):
        for rule in role["rules"]:
            assert "*" not in [*rule["verbs"], *rule["resources"], *rule["apiGroups"]]
            assert "secrets" not in rule["resources"] or rule["resourceNames"], role["metadata"]["name"]


def test_containers_have_resources(objects: Sequence[Object]) -> None:
    for _, template in pods(objects):
        for container in containers(template):
            assert set(container["resources"]["requests"]) >= {"cpu", "memory"}, container["name"]
            assert "memory" in container["resources"]["limits"], container["name"]


def test_programs_have_probes(objects: Sequence[Object]) -> None:
    for found, template in pods(objects):
        if part(found) in NO_PROBES or "helm.sh/hook" in found["metadata"].get("annotations", {}):
            continue
        for container in template["spec"]["containers"]:
            assert {"startupProbe", "livenessProbe"} <= set(container), container["name"]
        assert any("readinessProbe" in container for container in template["spec"]["containers"])


def test_a_registry_replaces_that_of_every_image(chart: Chart) -> None:
    found = chart.render("cpu", global__imageRegistry="mirror.example.com:5000")
    assert all(image.startswith("mirror.example.com:5000/") for image in images(found))


def images(objects: Sequence[Object]) -> list[str]:
    """Return the images of all pods, and those with which the programs start others."""
    direct = [container["image"] for _, template in pods(objects) for container in containers(template)]
    text = str([template for _, template in pods(objects)])
    assert "kfp-driver" in text
    variables = [
        variable["value"]
        for _, template in pods(objects)
        for container in containers(template)
        for variable in container.get("env", [])
        if variable["name"].startswith("V2_")
    ]
    arguments = [
        argument.removeprefix("--executor-image=")
        for _, template in pods(objects)
        for container in containers(template)
        for argument in container.get("args", [])
        if argument.startswith("--executor-image=")
    ]
    assert len(variables) == 2
    assert len(arguments) == 1
    book = next(found for found in objects if found["metadata"]["name"] == "fettle-platform")
    return [*direct, *variables, *arguments, book["data"]["image"]]


@pytest.mark.parametrize(
    "image",
    [
        "images__step", "images__light", "pipelines__api__image", "pipelines__api__driverImage",
        "pipelines__api__launcherImage", "pipelines__agent__image", "pipelines__schedules__image",
        "pipelines__metadata__image", "pipelines__ui__image", "pipelines__envoy__image", "argo__image",
        "argo__executorImage", "database__image", "store__image", "triton__images__cpu",
    ],
)  # fmt: skip
def test_a_digest_is_exact(chart: Chart, image: str) -> None:
    with_digest = [found for found in images(chart.render("cpu", **{f"{image}__digest": DIGEST})) if "@" in found]
    assert with_digest
    assert all(found.endswith(f"@{DIGEST}") for found in with_digest)


def test_settings_reach_every_pod(chart: Chart) -> None:
    found = chart.render(
        "cpu",
        global__imagePullSecrets=["mirror"],
        podDefaults__nodeSelector={"disk": "fast"},
        podDefaults__tolerations=[{"key": "a"}],
        podDefaults__affinity={"podAffinity": {}},
        podDefaults__priorityClassName="high",
        podDefaults__labels={"team": "vision"},
        podDefaults__annotations={"note": "yes"},
        podDefaults__topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "zone"}],
    )
    for _, template in pods(found):
        spec, metadata = template["spec"], template["metadata"]
        assert spec["imagePullSecrets"] == [{"name": "mirror"}]
        assert spec["nodeSelector"] == {"disk": "fast"}
        assert spec["tolerations"] == [{"key": "a"}]
        assert spec["affinity"] == {"podAffinity": {}}
        assert spec["priorityClassName"] == "high"
        labels = spec["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]
        assert labels.items() <= metadata["labels"].items()
        if "helm.sh/hook" not in metadata.get("annotations", {}):
            assert metadata["labels"]["team"] == "vision"
            assert metadata["annotations"]["note"] == "yes"


def test_a_part_overrides_the_settings(chart: Chart) -> None:
    found = chart.render(
        "cpu",
        podDefaults__nodeSelector={"disk": "fast"},
        podDefaults__priorityClassName="low",
        store__pod={"nodeSelector": {"disk": "large"}, "priorityClassName": "high"},
    )
    for owner, template in pods(found):
        wanted = ("large", "high") if part(owner) == "minio" else ("fast", "low")
        assert (template["spec"]["nodeSelector"]["disk"], template["spec"]["priorityClassName"]) == wanted


def test_all_fits_a_small_machine(chart: Chart) -> None:
    """Requests of what runs all the time: at most one core and 4 GiB, so that steps have room on 2 cores."""
    running = [
        container["resources"]["requests"]
        for found, template in pods(chart.render("cpu"))
        if found["kind"] in ("Deployment", "StatefulSet")
        for container in template["spec"]["containers"]
    ]
    assert sum(int(ask["cpu"].removesuffix("m")) for ask in running) <= 1000
    assert sum(int(ask["memory"].removesuffix("Mi")) for ask in running) <= 4096
