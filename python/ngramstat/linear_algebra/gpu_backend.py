"""Krylov spaces in a GPU's memory: counts and vectors stay there, small matrices come back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ngramstat._core import Gpu, GpuBlock, GpuOperator
from ngramstat.kernels import BLOCK_SIZE
from ngramstat.linear_algebra.lanczos import Basis, as_block, orthonormal_rows

__all__ = ["GpuBackend"]

Floats = NDArray[np.float64]

# Cholesky of x^T x loses what lies below the square root of the precision; columns that dependent
# go to the host instead.
_INDEPENDENT = 1e-6


@dataclass(frozen=True)
class GpuBackend:
    """Blocks lie on the device of the operator's counts; see `singular.VectorBackend`."""

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
    def __init__(self, space: GpuBackend, rng: np.random.Generator) -> None:
        self._space = space
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
        made = self._orthonormalise(x, size)
        if made is not None:
            x, r = made
        else:
            rows = np.ascontiguousarray(x.to_host().T)
            r = orthonormal_rows(rows, size, self._outside, self._rng)
            x = self._space.block(rows.T)
        self._blocks.append(x)
        return r

    def combine(self, coefficients: Floats) -> Floats:
        # x - q c for every block: minus the sum that is wanted.
        total = self._space.block(np.zeros((self._blocks[0].rows, BLOCK_SIZE)))
        for j in range(len(coefficients) // BLOCK_SIZE):
            part = coefficients[j * BLOCK_SIZE : (j + 1) * BLOCK_SIZE]
            total.subtract(self._blocks[j], as_block(*part.T))
        return -total.to_host()[:, : coefficients.shape[1]]

    def _project_out(self, x: GpuBlock) -> None:
        for _ in range(2):
            for q in self._blocks:
                x.project_out(q)

    def _outside(self, x: Floats) -> Floats:
        """One column minus its part in the basis, for `orthonormal_rows`."""
        block = self._space.block(as_block(x[:, 0]))
        self._project_out(block)
        return block.to_host()[:, :1]

    @staticmethod
    def _orthonormalise(x: GpuBlock, size: float) -> tuple[GpuBlock, Floats] | None:
        """(q, r) with x = q r, by Cholesky QR, twice (Yamamoto et al. 2015); None if the columns of
        x are not independent enough for it."""
        x = x.copy()
        total = np.eye(BLOCK_SIZE)
        for _ in range(2):
            try:
                r = np.linalg.cholesky(x.gram()).T
            except np.linalg.LinAlgError:
                return None
            if not np.diag(r).min() > _INDEPENDENT * max(np.diag(r).max(), size * _INDEPENDENT):
                return None
            x.transform(np.ascontiguousarray(np.linalg.inv(r)))
            total = r @ total
            size = 1.0
        return x, total
