"""The commands of docs/cluster.md, from the installation on, do what the page says."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .stack import NAMESPACE, ROOT, TINY, Installation


@pytest.mark.timeout(1800)
def test_from_the_stack_to_an_answer(installation: Installation, tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl, which the page uses, is not on PATH")
    spec = tmp_path / "tiny.yaml"
    spec.write_text(f"{TINY}runs: {tmp_path / 'runs'}\n")
    page = (ROOT / "docs/cluster.md").read_text()
    install, *blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    assert install.startswith("helm install fettle helm/fettle"), "the fixture has done this"
    script = "\n".join([install.splitlines()[1], *blocks])
    for said, meant in {
        "--namespace fettle": f"--namespace {NAMESPACE}",
        "NAMESPACE=fettle": f"NAMESPACE={NAMESPACE} SPEC={spec}",
        "examples/castings.yaml": str(spec),
        "pictures": str(tmp_path / "pictures"),
    }.items():
        assert said in script
        script = script.replace(said, meant)
    # What the page starts in the background would keep the pipes open when a command after it fails.
    script = f"set -em\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}"
    done = subprocess.run(["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert len(re.findall(r"^(ok|defective)\t", done.stdout, re.MULTILINE)) == 20
