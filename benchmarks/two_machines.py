"""Two machines in one: the same network is searched under two instruction sets, and each winner is timed under both.

    python benchmarks/two_machines.py                                    # the run of `make bench-optimize`
    python benchmarks/two_machines.py runs/optimize-neu-resnet50/latest --budget 10m --sets AVX512_CORE_VNNI AVX2

oneDNN, and with it OpenVINO, is pinned by ONEDNN_MAX_CPU_ISA, which is a part of a machine's fingerprint: neither
search reads the other's latency table. ONNX Runtime has kernels of its own, which know nothing of it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fettle.evaluate import results
from fettle.search.results import SEARCH
from fettle.search.trials import WHOLE

FETTLE = Path(sys.executable).with_name("fettle")


@dataclass(frozen=True)
class Winner:
    """The fastest network that is good enough: its export, its form, what it is, its score on val."""

    export: Path
    form: str
    told: str
    score: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/optimize-neu-resnet18/latest"))
    parser.add_argument("--sets", nargs=2, default=["AVX512_CORE_VNNI", "AVX2"], help="values of ONEDNN_MAX_CPU_ISA")
    parser.add_argument("--budget", default="4m", help="of each search")
    options = parser.parse_args()
    if not options.run.is_dir():
        parser.exit(0, f"{options.run} is not there: `make bench-optimize` makes it.\n")
    model, data = options.run / "model-baseline", next(options.run.glob("dataset-*"))
    spec = options.run / "spec.json"
    with tempfile.TemporaryDirectory() as folder:
        found = {name: search(model, data, spec, name, Path(folder), options.budget) for name in options.sets}
        times = {name: clock(found, data, name, Path(folder)) for name in options.sets}
    print(
        f"{'searched under':20} {'winner':36} {'score':>7}  " + "  ".join(f"ms under {name}" for name in options.sets)
    )
    for name, winner in found.items():
        row = "  ".join(f"{times[other][name]:{len(other) + 9}.2f}" for other in options.sets)
        print(f"{name:20} {winner.told:36} {winner.score:7.1%}  {row}")


def pinned(instructions: str, *arguments: str | Path) -> str:
    """Run a command of Fettle under an instruction set; return what it prints."""
    env = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions}
    return subprocess.run([FETTLE, *map(str, arguments)], env=env, check=True, stdout=subprocess.PIPE, text=True).stdout


def search(model: Path, data: Path, spec: Path, instructions: str, folder: Path, budget: str) -> Winner:
    """Return the fastest network that is good enough there."""
    out = folder / instructions
    plain = "recipes={auto: [search: {}]}"
    pinned(instructions, "optimize", model, data, plain, "--budget", budget, "--out", out, "--spec", spec)
    told = json.loads((out / "auto-search" / SEARCH).read_text())
    best = min((each for each in told["front"] if each["score"] >= told["floor"]), key=lambda each: each["ms"])
    owner = "the whole network" if best["owner"] == WHOLE else f"trial {best['owner']}"
    return Winner(out / f"auto-{best['number']}", best["form"], f"{owner}, {best['form']}", best["score"])


def clock(found: Mapping[str, Winner], data: Path, instructions: str, folder: Path) -> dict[str, float]:
    """Return the latency of every winner under an instruction set, interleaved."""
    out = folder / f"clock-{instructions}"
    named = [f"{name}={each.export}:{each.form.split('-')[1]}" for name, each in found.items()]
    pinned(instructions, "benchmark", *named, "--dataset", data, "--out", out)
    candidates = results.load(out / results.BENCHMARK, results.Benchmark).candidates
    return {name: candidates[name].p50_ms for name in found}


if __name__ == "__main__":
    main()
