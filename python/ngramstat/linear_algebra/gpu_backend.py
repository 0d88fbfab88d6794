"""Krylov spaces in GPU memory: counts and vectors stay there, only small matrices come back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat.kernels import BLOCK_SIZE, Gpu, GpuBlock, GpuOperator
from ngramstat.linear_algebra.lanczos import Basis, Vectors, as_block, orthonormal_rows

__all__ = ["GpuBackend"]

Floats = NDArray[np.float64]

# Cholesky QR works on x^T x and so loses directions below the square root of the precision. Blocks
# with such nearly dependent columns are orthonormalised on the host instead.
_MIN_INDEPENDENCE = 1e-6


@dataclass(frozen=True)
class GpuBackend:
    """Vectors on the GPU that holds the operator's counts; see `lanczos.VectorBackend`."""

    gpu: Gpu
    operator: GpuOperator

    def block(self, x: Floats) -> GpuBlock:
        return self.gpu.block(np.ascontiguousarray(x))

    def to_host(self, x: GpuBlock) -> Floats:
        return x.to_host()

    def multiply(self, x: GpuBlock) -> GpuBlock:
        return self.operator.multiply(x)

    def multiply_transposed(self, x: GpuBlock) -> GpuBlock:
        return self.operator.multiply_transposed(x)

    def basis(self, rng: np.random.Generator) -> Basis:
        return _GpuBasis(self, rng)


class _GpuBasis:
    def __init__(self, backend: GpuBackend, rng: np.random.Generator) -> None:
        self._backend = backend
        self._rng = rng
        self._blocks: list[GpuBlock] = []

    @property
    def last(self) -> GpuBlock:
        return self._blocks[-1]

    def extend(self, x: GpuBlock, along_last: Floats | None = None) -> Floats:
        if along_last is not None:
            x.subtract(self.last, np.ascontiguousarray(along_last))
        size = float(np.sqrt(np.trace(x.gram())))
        self._project_out(x)
        orthonormal = _cholesky_qr(x, size)
        if orthonormal is not None:
            x, r = orthonormal
        else:
            rows = np.ascontiguousarray(x.to_host().T)
            r = orthonormal_rows(rows, size, self._outside, self._rng)
            x = self._backend.block(rows.T)
        self._blocks.append(x)
        return r

    def combine(self, coefficients: Floats) -> Floats:
        # Blocks can only be subtracted: this is minus the sum.
        negative = self._backend.block(np.zeros((self._blocks[0].rows, BLOCK_SIZE)))
        for j in range(len(coefficients) // BLOCK_SIZE):
            rows = coefficients[j * BLOCK_SIZE : (j + 1) * BLOCK_SIZE]
            negative.subtract(self._blocks[j], as_block(*rows.T))
        return -negative.to_host()[:, : coefficients.shape[1]]

    def _project_out(self, x: GpuBlock) -> None:
        for _ in range(2):
            for q in self._blocks:
                x.project_out(q)

    def _outside(self, x: Vectors) -> Vectors:
        """One column minus its projection on the basis, for `orthonormal_rows`."""
        block = self._backend.block(as_block(x[:, 0].astype(np.float64)))
        self._project_out(block)
        return block.to_host()[:, :1]


def _cholesky_qr(x: GpuBlock, size: float) -> tuple[GpuBlock, Floats] | None:
    """(q, r) with x = q r, by Cholesky QR done twice (Yamamoto et al. 2015).

    None if the columns of x are too close to linear dependence for it. `size` is the norm that x
    had before its projection on the basis was subtracted.
    """
    x = x.copy()
    total = np.eye(BLOCK_SIZE)
    for _ in range(2):
        try:
            r = np.linalg.cholesky(x.gram()).T
        except np.linalg.LinAlgError:
            return None
        scale = max(np.diag(r).max(), size * _MIN_INDEPENDENCE)
        if not np.diag(r).min() > _MIN_INDEPENDENCE * scale:
            return None
        x.transform(np.ascontiguousarray(np.linalg.inv(r)))
        total = r @ total
        size = 1.0
    return x, total
