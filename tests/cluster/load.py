"""Run in a pod: ask a Service again and again, a new connection each time, and print how it went as JSON.

Usage: load.py HTTP GRPC MODEL SECONDS
"""

import collections
import json
import sys
import threading
import time

from fettle.errors import ServeError
from fettle.serve.client import Client

THREADS = 2  # of each protocol


def ask(endpoint: str, protocol: str, model: str, end: float) -> None:
    while time.monotonic() < end:
        try:
            with Client(endpoint, model, protocol=protocol, timeout=30) as client:
                versions[client.probe()] += 1
        except ServeError as error:
            failures.append(f"{time.strftime('%H:%M:%S')} {protocol}: {error}")
        time.sleep(0.02)


http, grpc, model, seconds = sys.argv[1:]
versions: collections.Counter[str] = collections.Counter()
failures: list[str] = []
end = time.monotonic() + float(seconds)
threads = [
    threading.Thread(target=ask, args=(endpoint, protocol, model, end))
    for endpoint, protocol in ((http, "http"), (grpc, "grpc"))
    for _ in range(THREADS)
]
for thread in threads:
    thread.start()
print("asking", flush=True)
for thread in threads:
    thread.join()
print(json.dumps({"versions": versions, "failures": failures}), flush=True)
