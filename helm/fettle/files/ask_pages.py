"""Ask for each page; it has to answer with 200."""
# ruff: noqa: T201

import sys
import urllib.request

for url in sys.argv[1:]:
    with urllib.request.urlopen(url, timeout=20) as answer:
        print(url, answer.status)
