"""Memory that is free goes back to the system."""

import subprocess
import sys

import pytest

_BEGINNING = """
import ctypes, sys, time
from pathlib import Path
from facepool.web.allocator import giving_back, keep_heaps_small

def resident_mib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
if not hasattr(libc, "gnu_get_libc_version"):
    sys.exit(77)
"""
_FREE_HOLES = """
blocks = [libc.malloc(65536) for _ in range(1600)]
for block in blocks:
    ctypes.memset(block, 1, 65536)
for block in blocks[:-1]:
    libc.free(block)
held = resident_mib()
with giving_back(0.01):
    until = time.monotonic() + 30
    while resident_mib() > held - 50 and time.monotonic() < until:
        time.sleep(0.01)
print("given back" if resident_mib() <= held - 50 else f"{held} MiB, then {resident_mib()}")
"""
_FREE_LARGE = """
keep_heaps_small()
libc.free(libc.malloc(24 << 20))  # after which glibc by itself takes nothing smaller for large
blocks = []
for size in [8 << 20, 1 << 18] * 8:  # bodies, and what lives longer behind each
    blocks.append(libc.malloc(size))
    ctypes.memset(blocks[-1], 1, size)
held = resident_mib()
for block in blocks[::2]:
    libc.free(block)
print("given back" if resident_mib() <= held - 50 else f"{held} MiB, then {resident_mib()}")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc only")
@pytest.mark.parametrize("freeing", [_FREE_HOLES, _FREE_LARGE], ids=["holes between what is in use", "large blocks"])
def test_what_is_free_goes_back_to_the_system(freeing: str) -> None:
    command = [sys.executable, "-c", _BEGINNING + freeing]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode == 77:
        pytest.skip("another C library")
    assert (done.returncode, done.stdout) == (0, "given back\n"), done.stderr
