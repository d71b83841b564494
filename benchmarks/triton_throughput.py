"""What Triton makes of an engine: ResNet-50 INT8 at 224 px, served with dynamic batching and one by one.

Measures, interleaved in rounds so that a busy machine hits all alike, the bare engine by batch size and a real local
Triton with 1 client and with 16 clients, each client a connection that waits for its answer before it asks again.
The target is at least 75% of the bare engine at its best batch.

    python benchmarks/triton_throughput.py --runtimes openvino onnxruntime
"""

import argparse
import http.client
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tritonclient.http

from fettle import card
from fettle.export.manifest import Export, Tensor, open_export
from fettle.models import Architecture, build_model
from fettle.optimize.quantization import quantize
from fettle.publish import approve, promote
from fettle.runtimes import Engine, open_engine
from fettle.serve.triton import LocalTriton
from fettle.spec import QuantizeConfig, ServeConfig
from fettle.storage import open_store

CLASSES = ("defective", "ok")
BATCHES = (1, 2, 4, 8, 16)
TARGET = 0.75


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runtimes", nargs="+", default=["openvino", "onnxruntime"])
    parser.add_argument("--family", default="resnet50", help="a family of Fettle or a timm name; random weights")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--max-batch", type=int, default=16)
    parser.add_argument("--queue-delay-us", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement in a round")
    parser.add_argument("--keep", type=Path, help="folder that keeps the exported models for the next time")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for runtime in args.runtimes:
            export = make_export(args.keep or Path(scratch), args.family, args.size, runtime)
            measure(export, runtime, args, Path(scratch) / f"repository-{runtime}")


def make_export(folder: Path, family: str, size: int, runtime: str) -> Export:
    """Return an INT8 export for ``runtime``; one that ``folder`` keeps is used again."""
    path, source = folder / f"{family}-{size}-int8-{runtime}", folder / f"{family}-{size}"
    if not source.exists():
        export_float(source, family, size)
    if not path.exists():
        images = np.random.default_rng(0).integers(0, 256, (32, size, size, 3), dtype=np.uint8)
        with card.create(path, kind="export", name="int8") as draft:
            quantize(open_export(source), draft.path, images, config=QuantizeConfig(), runtime=runtime).save()
    return open_export(path)


def export_float(path: Path, family: str, size: int) -> None:
    from fettle.export.onnx import export_onnx

    architecture = Architecture("classify", family, CLASSES, size)
    with card.create(path, kind="export", name="baseline") as draft:
        export_onnx(build_model(architecture).eval(), architecture, draft.path / "model.onnx")
        Export(
            path=draft.path,
            task="classify",
            classes=CLASSES,
            recipe="baseline",
            format="onnx",
            precision="float32",
            runtimes=("onnxruntime", "openvino"),
            input=Tensor("image", "uint8", (size, size, 3)),
            outputs=(Tensor("probabilities", "float32", (len(CLASSES),)),),
        ).save()


def measure(export: Export, runtime: str, args: argparse.Namespace, repository: Path) -> None:
    """Measure one runtime and print its table."""
    config = ServeConfig(max_batch=args.max_batch, queue_delay_us=args.queue_delay_us)
    sign_off = approve(export, runtime, by="benchmark", reason="a benchmark")
    store = open_store(repository)
    promote(store, export, runtime, model_name="bench", config=config, sign_off=sign_off)
    image = np.random.default_rng(1).integers(0, 256, (1, *export.input.shape), dtype=np.uint8)
    with (
        LocalTriton(store.url) as triton,
        open_engine(runtime, export.file, options=export.runtime_options(runtime)) as engine,
    ):
        triton.load("bench")
        served = f"{args.clients} clients, dynamic batching"
        ways: dict[str, Callable[[], float]] = {
            **{f"bare engine, batch {batch}": bare(engine, image, batch, args.seconds) for batch in BATCHES},
            "1 client, one by one": lambda: load(triton.http, image, 1, args.seconds),
            served: lambda: load(triton.http, image, args.clients, args.seconds),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        batches = []
        for _ in range(args.rounds):
            for name, way in ways.items():
                before = executions(triton)
                rates[name].append(way())
                if name == served:
                    batches.append(np.divide(*np.subtract(executions(triton), before)))
        print_table(f"{args.family} int8, {args.size} px, {runtime}", rates, served)
        print(f"  mean batch that Triton formed of {args.clients} clients: {statistics.median(batches):.1f}\n")


def bare(engine: Engine, image: np.ndarray, batch: int, seconds: float) -> Callable[[], float]:
    """Return a measurement of the engine alone, in images/s."""
    images = np.repeat(image, batch, axis=0)

    def way() -> float:
        engine(images)
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            engine(images)
            done += batch
        return done / (time.perf_counter() - start)

    return way


def load(endpoint: str, image: np.ndarray, clients: int, seconds: float) -> float:
    """Return the images/s that ``clients`` connections get, after a short warm-up.

    The request is built once, by Triton's own client, and sent by the standard library: what a client spends on
    building requests would be taken from the server's cores.
    """
    tensor = tritonclient.http.InferInput("image", list(image.shape), "UINT8")
    tensor.set_data_from_numpy(image)
    body, header_length = tritonclient.http.InferenceServerClient.generate_request_body([tensor])
    headers = {"Inference-Header-Content-Length": str(header_length)}
    start = time.perf_counter() + 0.5
    counts = [0] * clients

    def client(number: int) -> None:
        connection = http.client.HTTPConnection(endpoint)
        while (now := time.perf_counter()) < start + seconds:
            connection.request("POST", "/v2/models/bench/infer", body, headers)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise SystemExit(f"Triton answered {response.status}")
            counts[number] += now >= start
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - start)


def executions(triton: LocalTriton) -> tuple[int, int]:
    """Return how many images, and how many batches, the model has run."""
    with tritonclient.http.InferenceServerClient(triton.http) as client:
        told = client.get_inference_statistics("bench")["model_stats"][0]
    return int(told["inference_count"]), int(told["execution_count"])


def print_table(title: str, rates: dict[str, list[float]], served: str) -> None:
    medians = {name: statistics.median(values) for name, values in rates.items()}
    best = max(value for name, value in medians.items() if name.startswith("bare"))
    print(f"{title}\n  {'':32} {'images/s':>9} {'(min-max)':>15} {'of bare best':>13}")
    for name, values in rates.items():
        spread = f"({min(values):.0f}-{max(values):.0f})"
        print(f"  {name:32} {medians[name]:9.1f} {spread:>15} {medians[name] / best:12.0%}")
    verdict = "reached" if medians[served] >= TARGET * best else "MISSED"
    print(f"  target {TARGET:.0%} of the bare engine at its best batch: {verdict}")


if __name__ == "__main__":
    main()
