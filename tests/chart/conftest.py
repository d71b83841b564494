"""Fixtures of the chart's tests."""

import os
import subprocess
from collections.abc import Sequence

import pytest

from .rendering import BUILT, CASES, Chart, Object, find


@pytest.fixture(scope="session")
def chart() -> Chart:
    return Chart(find("helm"))


@pytest.fixture(params=CASES, scope="session")
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def objects(chart: Chart, case: str) -> Sequence[Object]:
    """All objects of each case."""
    return chart.render(case)


@pytest.fixture(scope="session")
def kubectl() -> list[str]:
    """Kubectl with the cluster of KUBECONFIG, else that of ../shared/cluster."""
    config = os.environ.get("KUBECONFIG") or str(BUILT[1].parent / "admin.kubeconfig")
    command = [find("kubectl"), f"--kubeconfig={config}", "--request-timeout=20s"]
    if subprocess.run([*command, "get", "--raw", "/readyz"], capture_output=True, check=False).returncode:
        pytest.skip(f"no cluster answers for {config}")
    return command
