"""Values: what is accepted, what is refused, what is said of them."""

import itertools
import json
import re
from collections.abc import Iterator

import pytest
import yaml

import fettle

from .rendering import CHART, Chart, Object

VALUES: Object = yaml.safe_load((CHART / "values.yaml").read_text())
# Maps whose keys are the user's own.
OPEN = re.compile(r"(annotations|labels|nodeSelector|affinity|requests|limits|Annotations)$")


def maps(values: Object, path: str = "") -> Iterator[str]:
    """Yield the path of each map with keys of the chart."""
    yield path
    for key, value in values.items():
        if isinstance(value, dict) and not OPEN.search(key):
            yield from maps(value, f"{path}{key}__")


def test_lint(chart: Chart, case: str) -> None:
    done = chart.run("lint", "--strict", f"--values={CHART / 'ci' / f'{case}-values.yaml'}")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", maps(VALUES), ids=lambda path: path or "root")
def test_unknown_keys_are_refused(chart: Chart, path: str) -> None:
    assert "unknown" in chart.refuses(**{f"{path}unknown": 1})


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("triton__device", "tpu"),
        ("triton__images__cpu__digest", "sha256:12"),
        ("triton__gpu__resource", "gpu"),
        ("triton__external__http", "http://triton"),
        ("store__external__endpoint", "minio:9000"),
        ("store__bucket", "Fettle"),
        ("database__names__pipelines", "a-b"),
        ("monitoring__alerts__errorRate", 2),
        ("global__imagePullPolicy", "Sometimes"),
    ],
)
def test_wrong_values_are_refused(chart: Chart, setting: str, value: object) -> None:
    assert setting.split("__")[-1] in chart.refuses(**{setting: value})


def test_what_replaces_a_part_is_asked_for(chart: Chart) -> None:
    assert "existingSecret" in chart.refuses(store__enabled=False)
    assert "store.external.endpoint" in chart.refuses(store__enabled=False, store__existingSecret="s")
    assert "/database/external/host" in chart.refuses(database__enabled=False, database__existingSecret="s")
    assert "triton.device gpu" in chart.refuses(cache__enabled=True)


def test_every_value_is_documented() -> None:
    """By a comment on its line, or before its group; the parts of an image and resources speak for themselves."""
    plain = re.compile(r"\s*(registry|repository|tag|digest|resources|requests|limits|image|- |enabled: true$)")
    lines = (CHART / "values.yaml").read_text().splitlines()
    silent = [line for line in lines if re.search(r": ?\S", line) and "#" not in line and not plain.match(line)]
    allowed = {"size: 8Gi", "size: 16Gi", "port: 3306", "port: 6379", "minReplicas: 1", "maxReplicas: 4"}
    assert {line.strip() for line in silent} <= allowed


def test_the_schema_knows_all_values() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["properties"]) == set(VALUES)
    closed = [found for found in walk(schema) if "properties" in found and "type" in found]
    assert len(closed) > 20
    assert all(found["additionalProperties"] is False for found in closed)


def walk(schema: object) -> Iterator[Object]:
    if isinstance(schema, dict):
        yield schema
    children = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    yield from itertools.chain.from_iterable(walk(child) for child in children)


def test_the_chart_has_the_version_of_the_package() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert about["appVersion"] == fettle.__version__
