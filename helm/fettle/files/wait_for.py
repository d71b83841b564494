"""Wait until something listens at each HOST:PORT."""
# ruff: noqa: T201

import socket
import sys
import time

for address in sys.argv[1:]:
    host, _, port = address.rpartition(":")
    told = ""
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
            break
        except OSError as error:
            if str(error) != told:
                told = str(error)
                print(f"{address}: {told}; trying again", flush=True)
            time.sleep(1)
