"""What the figures were measured on, without the names of hosts or folders."""

import os
import platform
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_TELLING_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "i8mm")


def describe() -> dict[str, Any]:
    """Processor, memory, system and the day."""
    cpu = _read("/proc/cpuinfo")
    model = re.search(r"model name\s*:\s*(.+)", cpu)
    flags = re.search(r"(?:flags|Features)\s*:\s*(.+)", cpu)
    words = set(flags[1].split()) if flags else set()
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": model[1].strip() if model else platform.processor() or platform.machine(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "instructions": [flag for flag in _TELLING_FLAGS if flag in words],
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
    }


def load_average() -> float | None:
    """Processes that wanted a core in the last minute; the machine is quiet when it is not above the runner's own."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def stay_on_cores(count: int) -> None:
    """Keep this process and all that it starts on the first cores that it may use, where the system can."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


def _memory_gib() -> float | None:
    total = re.search(r"MemTotal:\s+(\d+) kB", _read("/proc/meminfo"))
    return round(int(total[1]) / 2**20, 1) if total else None


def _read(path: str) -> str:
    file = Path(path)
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
