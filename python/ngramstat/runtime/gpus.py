"""The GPUs that a run uses.

A backend is ``"cpu"``, ``"cuda"`` (all devices visible to this process), ``"auto"`` (cuda if there
is a device, otherwise cpu), or a `Gpus` object of devices that are already open.
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

# Lowest compute capability that the kernels are compiled for.
_MIN_CAPABILITY = (8, 0)
# Fraction of a device's free memory used by default; a little is left to other processes.
_DEFAULT_MEMORY = "94%"


@dataclass(frozen=True)
class Gpus:
    """Open devices; without any, the work is done on the CPU."""

    devices: tuple[_core.Gpu, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.devices)

    @property
    def name(self) -> str:
        """``cpu``, ``cuda``, or ``emulated`` (a device of the tests, emulated on the CPU)."""
        if not self.devices:
            return "cpu"
        return "cuda" if self.devices[0].number >= 0 else "emulated"

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn errors of the devices into `NgramstatError`.

        Raises
        ------
        NgramstatError
            A device failed, or has too little memory.
        """
        try:
            yield
        except _core.DeviceMemoryError as error:
            raise NgramstatError(
                f"GPU memory: {error}; allow more with --gpu-memory, or use --backend cpu"
            ) from error
        except _core.DeviceError as error:
            raise NgramstatError(f"GPU: {error}; --backend cpu runs without a GPU") from error


CPU = Gpus()
Backend = str | Gpus


def open_gpus(backend: Backend = "auto", gpu_memory: str | int | None = None) -> Gpus:
    """Open the devices of a backend.

    Parameters
    ----------
    backend
        ``"auto"``, ``"cpu"`` or ``"cuda"``; open devices are returned as they are.
    gpu_memory
        Memory to use on each device, as ``"40G"``, ``"50%"`` (of the free memory) or bytes; by
        default 94% of the free memory.

    Raises
    ------
    InputError
        The backend is unknown, or is ``"cuda"`` but this build has no CUDA or this process sees no
        device.
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
        # With "auto", a busy or broken device is treated as missing.
        if backend == "auto":
            return CPU
        raise NgramstatError(
            f"backend 'cuda': {error}; --backend cpu runs without a GPU"
        ) from error
    if backend == "cuda" and not opened:
        raise InputError(
            "backend 'cuda': this process sees no CUDA device of compute capability 8.0 (A100) or "
            "later (see nvidia-smi, and CUDA_VISIBLE_DEVICES); use --backend cpu"
        )
    return opened


def _open(gpu_memory: str | int | None) -> Gpus:
    """Open every device that the kernels are compiled for."""
    numbers = [
        number
        for number, device in enumerate(_core.cuda_devices())
        if device["compute_capability"] >= _MIN_CAPABILITY
    ]
    memory = _DEFAULT_MEMORY if gpu_memory is None else gpu_memory
    return Gpus(
        tuple(
            _core.Gpu(number, parse_size(memory, _core.cuda_free_bytes(number), "gpu memory"))
            for number in numbers
        )
    )
