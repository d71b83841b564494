"""Where the time of a network goes, layer by layer, as its runtime tells it."""

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from fettle.errors import SpecError

CALLS = 30
Times = dict[str, float]


def profile(
    runtime: str, file: Path, image: np.ndarray, *, threads: int, options: Mapping[str, str] = MappingProxyType({})
) -> Times:
    """Return the microseconds of each node that took time, by its name in the graph, the median of some calls.

    What a runtime has fused into a node is counted there. The clock itself costs some microseconds a node: differences
    between nodes are right, their sum is somewhat more than a call takes.

    Args:
        runtime: One of :data:`PROFILERS`.
        file: Exported model.
        image: (1, S, S, 3) uint8.
        threads: Threads of a call.
        options: Parameters of the runtime.

    Raises:
        SpecError: If the runtime tells nothing.
    """
    if runtime not in PROFILERS:
        raise SpecError(f"{runtime} cannot be profiled layer by layer: {', '.join(PROFILERS)} can.")
    return PROFILERS[runtime](file, image, threads, options)


def _openvino(file: Path, image: np.ndarray, threads: int, options: Mapping[str, str]) -> Times:
    import openvino as ov

    from fettle.runtimes.openvino import compile_settings

    core = ov.Core()
    settings = {**compile_settings(options, threads), "PERF_COUNT": True}
    request = core.compile_model(core.read_model(file), "CPU", settings).create_infer_request()
    calls: defaultdict[str, list[float]] = defaultdict(list)
    for call in range(CALLS + 3):
        request.infer([image])
        if call >= 3:  # the first ones fill the caches
            for node in request.profiling_info:
                calls[node.node_name].append(node.real_time.total_seconds() * 1e6)
    return {name: float(np.median(times)) for name, times in calls.items() if max(times) > 0}


def _onnxruntime(file: Path, image: np.ndarray, threads: int, options: Mapping[str, str]) -> Times:
    import onnxruntime as ort

    from fettle.runtimes.onnxruntime import session_options

    with tempfile.TemporaryDirectory(prefix="fettle-") as folder:
        settings = session_options(options, threads)
        settings.enable_profiling, settings.profile_file_prefix = True, str(Path(folder) / "profile")
        session = ort.InferenceSession(file, settings, providers=["CPUExecutionProvider"])
        for _ in range(CALLS + 3):
            session.run(None, {session.get_inputs()[0].name: image})
        events = json.loads(Path(session.end_profiling()).read_text())
    calls: defaultdict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            calls[event["name"].removesuffix("_kernel_time")].append(float(event["dur"]))
    return {name: float(np.median(times[3:])) for name, times in calls.items()}


PROFILERS: Mapping[str, Callable[[Path, np.ndarray, int, Mapping[str, str]], Times]] = MappingProxyType(
    {"onnxruntime": _onnxruntime, "openvino": _openvino}
)
