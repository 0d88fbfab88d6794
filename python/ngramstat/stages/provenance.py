"""What made a result: version, machine, time and memory."""

from __future__ import annotations

from typing import Any

from ngramstat.kernels import build_info, simd_level
from ngramstat.runtime.resources import peak_rss_bytes
from ngramstat.runtime.workspace import Workspace
from ngramstat.version import __version__

__all__ = ["provenance"]


def provenance(workspace: Workspace, seconds: float) -> dict[str, Any]:
    """What made a result that this process ends, after so many seconds, as JSON values."""
    return {
        "version": __version__,
        "commit": build_info()["commit"] or None,
        "backend": workspace.gpus.name,
        "gpus": [gpu.name for gpu in workspace.gpus.devices],
        "simd": simd_level(),
        "threads": workspace.threads,
        "memory_limit_bytes": workspace.memory_limit,
        "seconds": round(seconds, 3),
        "peak_rss_bytes": peak_rss_bytes(),
    }
