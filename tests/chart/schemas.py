"""The schemas of a cluster, in the layout that kubeconform reads."""

import copy
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LAYOUT = "{{.ResourceKind}}{{.KindSuffix}}.json"
KIND = "x-kubernetes-group-version-kind"
Schema = dict[str, Any]


def write_schemas(kubectl: Sequence[str], folder: Path) -> str:
    """Write a file for each kind that the cluster has; return the location for kubeconform."""
    paths = _get(kubectl, "/openapi/v3")["paths"]
    for path, entry in paths.items():
        if path.startswith(("api/", "apis/")) and path.count("/") in (1, 2):
            components = _get(kubectl, entry["serverRelativeURL"]).get("components", {}).get("schemas", {})
            closed = {name: _close(copy.deepcopy(schema)) for name, schema in components.items()}
            for name, schema in components.items():
                for kind in schema.get(KIND, ()):
                    _write(folder, kind, name, closed)
    return f"{folder}/{LAYOUT}"


def _write(folder: Path, kind: Schema, name: str, components: Schema) -> None:
    group = f"-{kind['group'].split('.')[0]}" if kind["group"] else ""
    file = folder / f"{kind['kind'].lower()}{group}-{kind['version'].lower()}.json"
    if kind["kind"] != "DeleteOptions":
        file.write_text(json.dumps({"$ref": f"#/components/schemas/{name}", "components": {"schemas": components}}))


def _close(schema: Any) -> Any:
    """Refuse what the cluster would prune: fields that a schema does not know."""
    if isinstance(schema, dict):
        open_ended = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
        if "properties" in schema and not open_ended:
            schema["additionalProperties"] = False
        for child in schema.values():
            _close(child)
    for child in schema if isinstance(schema, list) else ():
        _close(child)
    return schema


def _get(kubectl: Sequence[str], path: str) -> Schema:
    done = subprocess.run([*kubectl, "get", "--raw", path], capture_output=True, text=True, check=True)
    found: Schema = json.loads(done.stdout)
    return found
