"""Containers and services use what they are given of the machine, and no more."""

from pathlib import Path

import pytest

from facepool import threads
from facepool.cgroups import cpu_share, memory_limit
from facepool.search import known

GIB = 1 << 30


def machine(folder: Path, process: str, **files: str) -> Path:
    """What Linux says; ``__`` of a name stands for a slash, as ``_`` does for itself."""
    for name, text in {"proc/self/cgroup": process, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_without_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert (cpu_share(tmp_path), memory_limit(tmp_path)) == (None, None)


def test_a_container_of_version_2_reads_its_own(tmp_path: Path) -> None:
    files = {"sys/fs/cgroup/cpu.max": "150000 100000\n", "sys/fs/cgroup/memory.max": f"{2 * GIB}\n"}
    found = machine(tmp_path, "0::/\n", **files)
    assert (cpu_share(found), memory_limit(found)) == (1.5, 2 * GIB)


def test_a_service_is_bound_by_those_around_it_too(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/system.slice/facepool.service"
    files = {
        f"{group}/cpu.max": "max 100000\n",
        f"{group}/memory.max": "max\n",
        f"{group}/memory.high": f"{3 * GIB}\n",
        "sys/fs/cgroup/system.slice/cpu.max": "400000 100000\n",
        "sys/fs/cgroup/system.slice/memory.max": f"{8 * GIB}\n",
    }
    found = machine(tmp_path, "0::/system.slice/facepool.service\n", **files)
    assert (cpu_share(found), memory_limit(found)) == (4.0, 3 * GIB)


def test_a_container_of_version_1_is_told_a_path_that_only_its_host_has(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{GIB}\n",
    }
    found = machine(tmp_path, "5:cpu,cpuacct:/docker/1234\n4:memory:/docker/1234\n", **files)
    assert (cpu_share(found), memory_limit(found)) == (0.5, GIB)


def test_version_1_without_limits(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    found = machine(tmp_path, "1:cpu:/\n4:memory:/\n0::/../elsewhere\n", **files)
    assert (cpu_share(found), memory_limit(found)) == (None, None)


@pytest.mark.parametrize(
    ("share", "cores", "wanted"), [(None, 64, 64), (2.0, 64, 2), (1.5, 64, 2), (0.2, 64, 1), (8, 4, 4)]
)
def test_threads_follow_the_time_of_processors(
    monkeypatch: pytest.MonkeyPatch, share: float | None, cores: int, wanted: int
) -> None:
    monkeypatch.setattr(threads, "cpu_share", lambda: share)
    monkeypatch.setattr(threads, "cores", lambda: cores)
    assert threads.default_threads() == wanted


def test_an_index_takes_a_quarter_of_what_the_container_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "memory_limit", lambda: GIB)
    assert known._memory() == GIB / 4
