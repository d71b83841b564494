"""How long Helm takes to render the chart, a new process each time (aim: below 2 s)."""

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

CHART = Path(__file__).parents[1] / "helm/fettle"
RUNS = 7


def main() -> None:
    helm = shutil.which("helm") or shutil.which("helm", path=str(Path.home() / "go/bin"))
    if helm is None:
        sys.exit("helm is not on PATH: nothing to measure.")
    print(f"| values | median of {RUNS} | first |\n|---|---|---|")
    for values in sorted(CHART.glob("ci/*-values.yaml")):
        command = [helm, "template", "fettle", str(CHART), "--kube-version=1.34.0", f"--values={values}"]
        times = [_time(command) for _ in range(RUNS)]
        print(f"| {values.name} | {statistics.median(times):.2f} s | {times[0]:.2f} s |")


def _time(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
