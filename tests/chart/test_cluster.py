"""What a cluster says of the chart; nothing is left in it."""

import base64
import json
import subprocess
import uuid
from collections.abc import Iterator

import pytest
import yaml

from .rendering import CHART, KUBERNETES, Chart, named

PASSWORDS = {"fettle-s3": "AWS_SECRET_ACCESS_KEY", "fettle-database": "password", "fettle-triton": "token"}


@pytest.fixture(scope="module")
def namespace(kubectl: list[str]) -> Iterator[str]:
    name = f"chart-{uuid.uuid4().hex[:8]}"
    subprocess.run([*kubectl, "create", "namespace", name], check=True, capture_output=True)
    yield name
    subprocess.run([*kubectl, "delete", "namespace", name, "--wait=false"], check=True, capture_output=True)


def test_passwords_are_kept(chart: Chart, kubectl: list[str], namespace: str) -> None:
    for name, key in PASSWORDS.items():
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace},
            "stringData": {key: f"given to {name}"},
        }
        subprocess.run(
            [*kubectl, "create", "-f-"], input=json.dumps(secret), text=True, check=True, capture_output=True
        )
    config = next(argument for argument in kubectl if argument.startswith("--kubeconfig"))
    command = [chart.helm, "template", "fettle", str(CHART), f"--namespace={namespace}", "--dry-run=server", config]
    done = subprocess.run([*command, f"--kube-version={KUBERNETES}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    objects = [found for found in yaml.safe_load_all(done.stdout) if found]
    for name, key in PASSWORDS.items():
        data = named(objects, "Secret", name)["data"]
        assert base64.b64decode(data[key]).decode() == f"given to {name}"
    made = base64.b64decode(named(objects, "Secret", "fettle-s3")["data"]["AWS_ACCESS_KEY_ID"])
    assert len(made) == 32, "what is missing is made"
