"""Schemas for kubeconform: of Kubernetes and of others' resource definitions, from the Go modules that hold them."""

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

Schema = dict[str, Any]
LAYOUT = "{{.ResourceKind}}{{.KindSuffix}}.json"
KIND = "x-kubernetes-group-version-kind"
KUBERNETES = "k8s.io/kubernetes@v1.34.10"
# Modules, and where their resource definitions lie.
DEFINITIONS = {
    "github.com/kubeflow/trainer/v2@v2.3.0": ("manifests/base/crds/trainer.kubeflow.org_trainjobs.yaml",),
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
}


def write_schemas(folder: Path) -> str:
    """Write a file for each kind; return the location for kubeconform."""
    for file in (_module(KUBERNETES) / "api/openapi-spec/v3").glob("*__*_openapi.json"):
        _write_document(folder, file.name, json.loads(file.read_text()))
    for module, files in DEFINITIONS.items():
        for file in files:
            _write_definition(folder, yaml.safe_load((_module(module) / file).read_text())["spec"])
    return f"{folder}/{LAYOUT}"


def conform(kubeconform: str, schemas: str, objects: Iterable[Schema]) -> subprocess.CompletedProcess[str]:
    """Check objects; unknown fields and unknown kinds are errors."""
    command = [kubeconform, "-strict", "-summary", f"-schema-location={schemas}"]
    return subprocess.run(command, input=yaml.safe_dump_all(objects), capture_output=True, text=True, check=False)


def _module(name: str) -> Path:
    """Return the folder of a Go module; Go keeps what it has fetched once."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("needs Go, which fetches the schemas")
    done = subprocess.run([go, "mod", "download", "-json", name], cwd="/", capture_output=True, text=True, check=False)
    told = json.loads(done.stdout or "{}")
    if "Dir" not in told:
        pytest.skip(f"Go cannot fetch {name}: {told.get('Error', done.stderr)}")
    return Path(told["Dir"])


def _write_document(folder: Path, name: str, document: Schema) -> None:
    """Write what a group's document says once, and a file for each of its kinds that points into it."""
    components = document["components"].get("schemas", {})
    (folder / name).write_text(json.dumps({"components": {"schemas": _close(components)}}))
    for component, schema in components.items():
        for kind in schema.get(KIND, ()):
            _write(folder, kind, {"$ref": f"{(folder / name).as_uri()}#/components/schemas/{component}"})


def _write_definition(folder: Path, spec: Schema) -> None:
    for version in spec["versions"]:
        kind = {"group": spec["group"], "version": version["name"], "kind": spec["names"]["kind"]}
        _write(folder, kind, _close(version["schema"]["openAPIV3Schema"]))


def _write(folder: Path, kind: Schema, schema: Schema) -> None:
    group = f"-{kind['group'].split('.')[0]}" if kind["group"] else ""
    (folder / f"{kind['kind'].lower()}{group}-{kind['version'].lower()}.json").write_text(json.dumps(schema))


def _close(schema: Any) -> Any:
    """Refuse what a cluster would prune: fields that a schema does not know."""
    if isinstance(schema, dict):
        open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
        if "properties" in schema and not open_ended:
            schema["additionalProperties"] = False
        for child in schema.values():
            _close(child)
    for child in schema if isinstance(schema, list) else ():
        _close(child)
    return schema
