"""The passport: who may trust whose measurements."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from fettle.hardware import memory_bandwidth, passport


def pinned(limit: str) -> tuple[str, str]:
    code = "from fettle.hardware import passport; p = passport(); print(p.fingerprint, ' '.join(p.flags), sep='|')"
    environ = {**os.environ, "ONEDNN_MAX_CPU_ISA": limit}
    fingerprint, _, flags = subprocess.check_output([sys.executable, "-c", code], text=True, env=environ).partition("|")
    return fingerprint, flags.strip()


@pytest.mark.skipif("avx512f" not in passport().flags, reason="this CPU has no AVX-512 to be kept from")
def test_a_machine_that_is_kept_from_its_instructions_is_another_one() -> None:
    fingerprint, flags = pinned("avx2")
    assert fingerprint != passport().fingerprint
    assert flags == "avx2"
    assert pinned("avx512_core")[0] not in (fingerprint, passport().fingerprint)


def test_what_decides_the_speed_decides_the_fingerprint() -> None:
    here = passport()
    others = [replace(here, cores=here.cores + 1), replace(here, flags=()), replace(here, gpu="H100"),
              replace(here, limit="AVX2")]  # fmt: skip
    assert len({here.fingerprint, *(other.fingerprint for other in others)}) == 5
    assert replace(here, limit=None).fingerprint == here.fingerprint if here.limit is None else True


def test_memory_is_measured_in_gigabytes_a_second() -> None:
    assert 0.1 < memory_bandwidth() < 2000
