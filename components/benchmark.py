"""benchmark: latency and throughput of all candidates, interleaved on one machine."""

from kfp.dsl import Artifact, Dataset, Input, Output

from components.base import Many


def benchmark(
    exports: Many, dataset: Input[Dataset], out: Output[Artifact], runtimes: str, config: str, machine: str = ""
):
    """Measure the candidates together; ``runtimes`` maps names to runtimes, ``machine`` is for the cache alone."""
    import json

    from fettle.steps import run

    served_by = json.loads(runtimes)
    candidates = [[name, export.path, served_by[name]] for name, export in exports.items()]
    out.path, out.metadata, _ = run("benchmark", out.path, exports=candidates, dataset=dataset.path, config=config)
