"""Cores and memory that this process may use, what the cores can do, and the memory used."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.arguments import as_integer

__all__ = [
    "anonymous_bytes",
    "available_memory_bytes",
    "available_threads",
    "multiplies_bfloat16",
    "parse_memory_limit",
    "parse_size",
    "peak_rss_bytes",
    "resolve_threads",
]

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_CGROUP_MEMBERSHIP = Path("/proc/self/cgroup")

# More threads than any machine has; a larger request is a typing error.
_MAX_THREADS = 4096

# Instructions that multiply bfloat16, as Linux names them.
_BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)\s*(?:([KMGT])(?:I?B)?|B)?", re.ASCII)
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,9})?)\s*%", re.ASCII)


def available_threads() -> int:
    """Cores this process may use.

    The minimum of the CPU affinity, the cgroup (container) quota rounded up, and
    ``SLURM_CPUS_PER_TASK``; at least 1.
    """
    if sys.platform == "linux":
        limits = [len(os.sched_getaffinity(0))]
    else:
        limits = [os.cpu_count() or 1]
    limits += [max(1, math.ceil(quota)) for quota in _cgroup_cpu_quotas()]
    slurm = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if slurm.isascii() and slurm.isdigit() and int(slurm) > 0:
        limits.append(int(slurm))
    return max(1, min(limits))


def resolve_threads(threads: int | None) -> int:
    """`threads` unless it is None, otherwise `available_threads`.

    Raises
    ------
    InputError
        `threads` is no whole number, or not between 1 and 4096.
    """
    if threads is None:
        return available_threads()
    number = as_integer("threads", threads)
    if not 1 <= number <= _MAX_THREADS:
        raise InputError(f"threads={threads}: must lie between 1 and {_MAX_THREADS}")
    return number


def available_memory_bytes() -> int:
    """Memory this process may use, in bytes: the smaller of physical memory and cgroup limit.

    Raises
    ------
    NgramstatError
        The system does not report its memory.
    """
    limits = [limit for limit in (_physical_bytes(), *_cgroup_memory_limits()) if limit > 0]
    if not limits:
        raise NgramstatError(
            "this system does not report its memory; give the memory limit as a size, such as 16G"
        )
    return min(limits)


def _physical_bytes() -> int:
    """Bytes of main memory; 0 where the system does not report them."""
    if sys.platform == "win32":
        import ctypes

        # MEMORYSTATUSEX: its own size and the load in per cent, 4 bytes each; then seven numbers of
        # 8 bytes, the first of which is the physical memory.
        status = (ctypes.c_uint64 * 8)(64)
        found = ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status[1]) if found else 0
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0


def parse_memory_limit(limit: str | int | None) -> int:
    """Convert a memory limit to bytes.

    Parameters
    ----------
    limit
        ``"80%"`` (of `available_memory_bytes`), ``"16G"``, ``"512M"``, ``"1.5 GiB"`` (units are
        powers of 1024), a plain number of bytes, or None for 80%.

    Returns
    -------
    int
        Bytes, at least 1.

    Raises
    ------
    InputError
        The text has another form, or the limit is 0 or over 100%.
    """
    return parse_size("80%" if limit is None else limit, available_memory_bytes, "memory limit")


def parse_size(size: str | int, total: int | Callable[[], int], name: str) -> int:
    """Convert a size to bytes: a text with a unit, bytes, or a percentage of `total`.

    Raises
    ------
    InputError
        The text has another form, or the size is 0 or over 100%; the message begins with `name`.
    """
    text = str(size).strip().upper()
    if match := _PERCENT.fullmatch(text):
        percent = float(match[1])
        if not 0 < percent <= 100:
            raise InputError(f"{name} {size!r}: must be over 0% and at most 100%")
        return max(1, int((total() if callable(total) else total) * percent / 100))
    match = _SIZE.fullmatch(text)
    if match is None or isinstance(size, bool):
        raise InputError(f"{name} {size!r}: write it like 80%, 16G, 512M or bytes")
    number, unit = match[1], _UNITS[match[2] or ""]
    n_bytes = int(number) * unit if number.isdigit() else int(float(number) * unit)
    if n_bytes < 1:
        raise InputError(f"{name} {size!r}: must be at least one byte")
    return n_bytes


def peak_rss_bytes() -> int | None:
    """Peak resident memory of this process in bytes; None where the system does not report it."""
    # Preferred to getrusage, which starts from the memory of the parent process.
    if (peak := _status_bytes("VmHWM")) is not None:
        return peak
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts KiB, macOS bytes.
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


def anonymous_bytes() -> int:
    """Resident bytes that are not pages of files; 0 where the system does not report them."""
    return _status_bytes("RssAnon") or 0


def _status_bytes(name: str) -> int | None:
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith(f"{name}:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _cgroup_cpu_quotas() -> Iterator[float]:
    """Cores granted by each cgroup of this process that sets a quota (versions 2 and 1)."""
    for directory in _cgroup_directories("cpu"):
        quota, *rest = (_read_words(directory / "cpu.max") or ["max"])[:2]
        period = rest[0] if rest else "100000"
        if quota == "max":
            quota = (_read_words(directory / "cpu.cfs_quota_us") or ["-1"])[0]
            period = (_read_words(directory / "cpu.cfs_period_us") or ["0"])[0]
        if quota.isdigit() and period.isdigit() and int(quota) > 0 and int(period) > 0:
            yield int(quota) / int(period)


def _cgroup_memory_limits() -> Iterator[int]:
    for directory in _cgroup_directories("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            words = _read_words(directory / name)
            if words and words[0].isdigit():
                yield int(words[0])


def _cgroup_directories(controller: str) -> Iterator[Path]:
    """The cgroup of this process and its ancestors, in version 2 and a version 1 controller.

    Inside a container the path in /proc is often not visible under the mount point. The root of the
    mount, which is always included, then has the limits of the container.
    """
    try:
        lines = _CGROUP_MEMBERSHIP.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    bases: dict[Path, str] = {_CGROUP_ROOT: "/", _CGROUP_ROOT / controller: "/"}
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            bases[_CGROUP_ROOT] = path
        elif controller in controllers.split(","):
            bases[_CGROUP_ROOT / controller] = path
    for base, path in bases.items():
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            yield base.joinpath(*parts[:depth])


def _read_words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return []


def multiplies_bfloat16() -> bool:
    """Whether Linux lists instructions of the CPU that multiply bfloat16."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    line = next((row for row in text.splitlines() if row.startswith("flags")), "")
    return not _BFLOAT16_FLAGS.isdisjoint(line.split())
