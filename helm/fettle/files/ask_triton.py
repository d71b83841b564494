"""Every server is live and serves what is promoted; the clients' Service answers inferences by HTTP and gRPC."""
# ruff: noqa: T201

import re
import socket
import sys
import urllib.request

from fettle.serve.client import Client


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return str(answer.read().decode())


def main(clients: str, pods: str) -> None:
    get(f"http://{clients}:8000/v2/health/live")
    servers = sorted({str(address[0]) for *_, address in socket.getaddrinfo(pods, None, family=socket.AF_INET)})
    promoted: dict[str, str] = {}
    for server in servers:
        get(f"http://{server}:8003/ready")
        promoted |= dict(
            re.findall(r'fettle_promoted_version\{model="(.+?)"\} (\d+)', get(f"http://{server}:8003/metrics"))
        )
    print(f"{len(servers)} servers are ready; promoted: {promoted or 'nothing yet'}")
    for model, version in promoted.items():
        for protocol, port in (("http", 8000), ("grpc", 8001)):
            with Client(f"{clients}:{port}", model, protocol=protocol) as client:
                answered = client.probe()
            print(f"{model} by {protocol}: version {answered} answers")
            if answered != version:
                sys.exit(f"{model}: version {version} is promoted, but {answered} answers")


main(*sys.argv[1:])
