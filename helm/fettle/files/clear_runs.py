"""Delete the workflows of runs and wait for their pods to go, which the controller sees to. The runs stay on record."""
# ruff: noqa: T201

import os
import time
from pathlib import Path

import urllib3

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
RUNS = {"labelSelector": "pipeline/runid"}
PATIENCE = 90  # seconds


def main() -> None:
    namespace = (ACCOUNT / "namespace").read_text()
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}
    http = urllib3.PoolManager(ca_certs=str(ACCOUNT / "ca.crt"), headers=headers, timeout=10, retries=3)
    api = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    pods = f"{api}/api/v1/namespaces/{namespace}/pods"
    workflows = f"{api}/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows"
    deadline = time.monotonic() + PATIENCE
    for each in items(http, workflows):
        http.request("DELETE", f"{workflows}/{each['metadata']['name']}")
    while left := items(http, pods):
        if time.monotonic() > deadline:  # what goes on without it must not keep the release
            print(f"still there: {', '.join(pod['metadata']['name'] for pod in left)}")
            return
        time.sleep(1)


def items(http: urllib3.PoolManager, url: str) -> list[dict]:
    return http.request("GET", url, fields=RUNS).json().get("items", [])


main()
