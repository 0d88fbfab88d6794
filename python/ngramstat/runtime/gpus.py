"""GPUs: which ones a run uses.

A backend is ``"cpu"``, ``"cuda"`` (every device that CUDA shows this process), ``"auto"`` (cuda
where there is a device, else cpu), or devices that are open already.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ngramstat import _core
from ngramstat.errors import InputError, NgramstatError
from ngramstat.runtime.resources import parse_size

__all__ = ["BACKENDS", "CPU", "Backend", "Gpus", "open_gpus"]

BACKENDS = ("auto", "cpu", "cuda")

# The oldest cards that the kernels are compiled for.
_CAPABILITY = (8, 0)
# The share of a device's free memory that is taken by default: a little is left to others.
_SHARE = "94%"


@dataclass(frozen=True)
class Gpus:
    """Devices that are open; none of them: work is done by the CPU."""

    devices: tuple[_core.Gpu, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.devices)

    @property
    def name(self) -> str:
        """``cpu``, ``cuda``, or ``emulated``."""
        if not self.devices:
            return "cpu"
        return "cuda" if self.devices[0].number >= 0 else "emulated"

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turns errors of the devices into the package's.

        Raises
        ------
        NgramstatError
            A device failed, or has too little memory.
        """
        try:
            yield
        except _core.DeviceMemoryError as error:
            raise NgramstatError(
                f"GPU memory: {error}; give more of it with --gpu-memory, or use --backend cpu"
            ) from error
        except _core.DeviceError as error:
            raise NgramstatError(f"GPU: {error}; --backend cpu does without it") from error


CPU = Gpus()
Backend = str | Gpus


def open_gpus(backend: Backend = "auto", gpu_memory: str | int | None = None) -> Gpus:
    """The devices that a backend means.

    Parameters
    ----------
    backend
        ``"auto"``, ``"cpu"`` or ``"cuda"``; open devices stay what they are.
    gpu_memory
        What may be taken of each device's memory, as ``"40G"``, ``"50%"`` (of what is free) or
        bytes; by default nearly all that is free.

    Raises
    ------
    InputError
        The backend has another name, or is ``"cuda"`` where this build has no CUDA or this process
        sees no device.
    NgramstatError
        The backend is ``"cuda"`` and a device cannot be opened.
    """
    if isinstance(backend, Gpus):
        return backend
    if backend not in BACKENDS:
        raise InputError(f"backend {backend!r}: expected {', '.join(BACKENDS)}")
    if backend == "cpu":
        return CPU
    if backend == "cuda" and not _core.build_info()["cuda"]:
        raise InputError(
            "backend 'cuda': this build of ngramstat has no CUDA; install it where nvcc is on PATH "
            "with -C cmake.define.NGRAMSTAT_CUDA=ON, or use --backend cpu"
        )
    try:
        opened = _open(gpu_memory)
    except _core.DeviceError as error:
        # A card that is taken or broken is none, where nobody insists on one.
        if backend == "auto":
            return CPU
        raise NgramstatError(f"backend 'cuda': {error}; --backend cpu does without it") from error
    if backend == "cuda" and not opened:
        raise InputError(
            "backend 'cuda': this process sees no CUDA device of compute capability 8.0 (A100) or "
            "later (see nvidia-smi, and CUDA_VISIBLE_DEVICES); use --backend cpu"
        )
    return opened


def _open(gpu_memory: str | int | None) -> Gpus:
    """Every device that the kernels are compiled for."""
    numbers = [
        number
        for number, device in enumerate(_core.cuda_devices())
        if device["compute_capability"] >= _CAPABILITY
    ]
    wanted = _SHARE if gpu_memory is None else gpu_memory
    return Gpus(
        tuple(
            _core.Gpu(number, parse_size(wanted, _core.cuda_free_bytes(number), "gpu memory"))
            for number in numbers
        )
    )
