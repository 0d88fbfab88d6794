"""Tokens that may already be on a GPU, and work that several GPUs share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, TypeVar

import numpy as np

from ngramstat import _core
from ngramstat.errors import InputError
from ngramstat.kernels.tokens import check_tokens
from ngramstat.runtime.gpus import Gpus

__all__ = ["devices_for", "gpu_tokens", "spread"]

Work = TypeVar("Work")
Result = TypeVar("Result")
Counter = TypeVar("Counter")


def gpu_tokens(tokens: Any) -> Any:
    """Tokens in the form that a GPU kernel accepts: a host array, or a tensor that is not copied.

    Raises
    ------
    TypeError
        Neither a contiguous array of uint16 or uint32 nor a tensor of uint16, uint32 or int32.
    """
    if isinstance(tokens, np.ndarray):
        check_tokens(tokens)
        return tokens
    return _core.DeviceTokens(tokens)


def devices_for(gpus: Gpus, stream: Any) -> tuple[_core.Gpu, ...]:
    """The devices that can count a stream: all of them, or the one that holds its tensor.

    Raises
    ------
    InputError
        None of them holds the tensor.
    """
    if isinstance(stream, np.ndarray):
        return gpus.devices
    holders = tuple(gpu for gpu in gpus.devices if gpu.number == stream.device)
    if not holders:
        where = "in host memory" if stream.device < 0 else f"on GPU {stream.device}"
        raise InputError(f"tokens: are {where}, which is none of the devices in use")
    return holders


def spread(
    counters: Sequence[Counter], work: Iterable[Work], do: Callable[[Counter, Work], Result]
) -> Iterator[Result]:
    """Yield do(counter, w) for every w in order; every device works on one item at a time."""
    if len(counters) == 1:
        for item in work:
            yield do(counters[0], item)
        return
    with ExitStack() as stack:
        workers = [stack.enter_context(ThreadPoolExecutor(1)) for _ in counters]
        waiting: list[Future[Result]] = []
        for k, item in enumerate(work):
            # No device computes more than one result ahead of what the caller has consumed.
            if len(waiting) == len(counters):
                yield waiting.pop(0).result()
            waiting.append(workers[k % len(counters)].submit(do, counters[k % len(counters)], item))
        for future in waiting:
            yield future.result()
