"""Triton's pods: device, repository, restricted control, drain, scaling, monitoring."""

import json
import re

from .rendering import CHART, Chart, Object, containers, named

# Families that Triton 2.50 and later, and the keeper (fettle.serve.health), tell.
METRICS = {
    "nv_inference_request_success", "nv_inference_request_failure", "nv_inference_count", "nv_inference_exec_count",
    "nv_inference_queue_duration_us", "nv_inference_request_summary_us", "nv_cache_num_hits_per_model",
    "nv_gpu_memory_used_bytes", "nv_gpu_memory_total_bytes", "nv_gpu_utilization", "fettle_ready",
    "fettle_promoted_version", "fettle_served_version", "fettle_promoted_timestamp_seconds",
    "fettle_queue_milliseconds",
}  # fmt: skip


def server(objects: list[Object]) -> tuple[Object, Object, Object]:
    """Return the Deployment, and the containers triton and keeper."""
    deployment = named(objects, "Deployment", "fettle-triton")
    triton, keeper = deployment["spec"]["template"]["spec"]["containers"]
    return deployment, triton, keeper


def test_cpu(chart: Chart) -> None:
    deployment, triton, keeper = server(chart.render("cpu"))
    assert triton["image"] == "fettle/triton-cpu:0.1.0"
    assert "--model-repository=s3://http://fettle-minio.here.svc:9000/fettle-models" in triton["args"]
    assert "--model-control-mode=explicit" in triton["args"]
    assert "--cache-config=local,size=67108864" in triton["args"]
    assert keeper["args"] == ["--repository=s3://fettle-models", "--endpoint=127.0.0.1:8000", "--port=8003"]
    assert deployment["spec"]["replicas"] == 1
    assert "tolerations" not in deployment["spec"]["template"]["spec"]


def test_gpu(chart: Chart) -> None:
    deployment, triton, _ = server(chart.render("gpu"))
    assert re.fullmatch(r"nvcr\.io/nvidia/tritonserver:\d\d\.\d\d-py3", triton["image"])
    assert triton["resources"]["limits"] == {"memory": "16Gi", "nvidia.com/mig-1g.10gb": 1}
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in deployment["spec"]["template"][
        "spec"
    ]["tolerations"]
    assert {"--cache-config=redis,host=fettle-cache", "--cache-config=redis,port=6379"} <= set(triton["args"])


def test_a_store_with_tls(chart: Chart) -> None:
    _, triton, keeper = server(chart.render("external"))
    repository = "s3://https://s3.eu-west-1.amazonaws.com:443/example-fettle-models"
    assert f"--model-repository={repository}" in triton["args"]
    assert "--repository=s3://example-fettle-models" in keeper["args"]


def test_model_control_is_for_the_keeper_only(chart: Chart) -> None:
    objects = chart.render("cpu")
    _, triton, keeper = server(objects)
    for flag in ("--http-restricted-api", "--grpc-restricted-protocol"):
        (value,) = [argument.split("=", 1)[1] for argument in triton["args"] if argument.startswith(flag)]
        assert value == "model-repository,shared-memory,logging,trace:fettle-access=$(FETTLE_TRITON_TOKEN)"
    token = {"name": "fettle-triton", "key": "token"}
    for container in (triton, keeper):
        variables = {variable["name"]: variable for variable in container["env"]}
        assert variables["FETTLE_TRITON_TOKEN"]["valueFrom"]["secretKeyRef"] == token
    assert str(objects).count("'key': 'token'") == 2


def test_a_pod_is_ready_when_all_that_is_promoted_answers(chart: Chart) -> None:
    _, _, keeper = server(chart.render("cpu"))
    assert keeper["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "keeper"}


def test_drain(chart: Chart) -> None:
    deployment, *both = server(chart.render("cpu", triton__drainSeconds=25))
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert all(container["lifecycle"]["preStop"] == {"sleep": {"seconds": 25}} for container in both)
    # Triton itself waits 30 s for requests under way.
    assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 25 + 30


def test_clients_reach_ready_servers_and_promotions_all(chart: Chart) -> None:
    objects = chart.render("cpu")
    clients, every = named(objects, "Service", "fettle-triton"), named(objects, "Service", "fettle-triton-pods")
    assert {port["port"] for port in clients["spec"]["ports"]} == {8000, 8001}
    assert {port["port"] for port in every["spec"]["ports"]} == {8000, 8001, 8002, 8003}
    assert every["spec"]["clusterIP"] == "None"
    assert every["spec"]["publishNotReadyAddresses"] is True


def test_scaling_by_the_time_in_the_queue(chart: Chart) -> None:
    objects = chart.render("gpu", triton__autoscaling__target=7)
    deployment, *_ = server(objects)
    assert "replicas" not in deployment["spec"], "an upgrade would undo what the autoscaler did"
    (metric,) = named(objects, "HorizontalPodAutoscaler", "fettle-triton")["spec"]["metrics"]
    assert metric == {
        "type": "Pods",
        "pods": {
            "metric": {"name": "fettle_queue_milliseconds"},
            "target": {"type": "AverageValue", "averageValue": "7"},
        },
    }
    rules = named(objects, "PrometheusRule", "fettle-monitoring")["spec"]["groups"]
    assert rules[0]["rules"][0]["record"] == "fettle_queue_milliseconds"


def test_alerts_take_the_budget(chart: Chart) -> None:
    objects = chart.render("gpu", monitoring__alerts__latencyMilliseconds=12.5)
    (_, alerts) = named(objects, "PrometheusRule", "fettle-monitoring")["spec"]["groups"]
    by_name = {rule["alert"]: rule["expr"] for rule in alerts["rules"]}
    assert set(by_name) == {
        "FettleErrors", "FettleLatency", "FettleQueue", "FettleGpuMemory", "FettleNotReady", "FettleNotServed",
        "FettleStale",
    }  # fmt: skip
    assert by_name["FettleLatency"].endswith("> 12.5")
    assert all('namespace="here"' in expression for expression in by_name.values())


def test_rules_and_dashboard_ask_for_metrics_that_exist(chart: Chart) -> None:
    objects = chart.render("gpu")
    rules = json.dumps(named(objects, "PrometheusRule", "fettle-monitoring"))
    dashboard = json.loads(named(objects, "ConfigMap", "fettle-dashboard")["data"]["fettle.json"])
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for text in (rules, *asked):
        assert set(re.findall(r"\b(?:nv|fettle)_[a-z_]+\b", text)) <= METRICS
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_scripts_are_whole(chart: Chart) -> None:
    scripts = {file.read_text() for file in (CHART / "files").glob("*.py")}
    run = {
        container["args"][0]
        for found in chart.render("cpu")
        for template in ([found] if found["kind"] == "Pod" else [found.get("spec", {}).get("template")])
        if template
        for container in containers(template)
        if container.get("command") == ["python", "-c"]
    }
    assert run == scripts
