"""Validated wrappers of the C++ kernels: they check dtypes and choose the CPU or GPUs.

Counts are exact integers, the same for any number of threads, any memory limit and on any backend.
Products with vectors and sums of them are doubles: on the CPU they are the same to the last bit for
any number of threads and any instruction set; on a GPU they are summed in another order. Counting
runs in steps of seconds, so that the caller can show progress and be interrupted.

Names, arguments and results stay within a minor version; docs/kernels.md shows their use. The
extension below, `ngramstat._core`, is private.
"""

from __future__ import annotations

from ngramstat import _core
from ngramstat._core import (
    CountMatrix,
    Documents,
    Gpu,
    GpuBlock,
    GpuCounts,
    GpuOperator,
    GpuPairStream,
    GpuPairSummer,
    GpuTerm,
    PairBuffer,
    PairLabel,
)
from ngramstat.kernels.index_queries import (
    NextTokens,
    SortedShards,
    SuffixCounts,
    TokenSlices,
    suffix_samples,
)
from ngramstat.kernels.kneser_ney import (
    CountsOfRange,
    KneserNey,
    ModelSizes,
    models_in_budget,
)
from ngramstat.kernels.ngram_hashing import HashCost, fits_hash, hash_cost, hashed_ngrams
from ngramstat.kernels.ngram_listing import (
    MAX_NGRAM,
    ListedNgrams,
    NgramFacts,
    NgramSweep,
    NgramUnits,
)
from ngramstat.kernels.ngram_windows import NgramWindows, count_ngram_windows
from ngramstat.kernels.pairs import (
    PairCounts,
    PairMemory,
    PairsAtLag,
    bilinear_forms_by_class,
    count_document_tokens,
    count_document_tokens_on,
    count_pairs,
    count_pairs_by_class,
    count_tokens_by_class,
    multiply_pairs,
    multiply_pairs_by_class,
    pair_bytes,
    pair_summer,
    shuffle_documents,
    stream_pairs,
    sum_counts,
    sum_pairs_by_document,
)
from ngramstat.kernels.suffixes import (
    LEAST_STEP,
    NgramCounts,
    NgramStatistics,
    Share,
    SuffixCost,
    add_statistics,
    blocks_at_once,
    count_ngrams,
    mark_copies,
    positions_that_fit,
    step_tokens,
    suffix_array,
    suffix_cost,
)
from ngramstat.kernels.tokens import Tokens, mostly_unused, token_counts
from ngramstat.kernels.windows import WindowCounter

BLOCK_SIZE = _core.BLOCK_SIZE
SINGLE_BLOCK_SIZE = _core.SINGLE_BLOCK_SIZE
LOSS_BITS = _core.LOSS_BITS
MAX_ORDER = _core.MAX_ORDER
N_POSITION_BINS = _core.N_POSITION_BINS
build_info = _core.build_info
cuda_devices = _core.cuda_devices
pair_tables_fit = _core.pair_tables_fit
simd_level = _core.simd_level

__all__ = [
    "BLOCK_SIZE",
    "LEAST_STEP",
    "LOSS_BITS",
    "MAX_NGRAM",
    "MAX_ORDER",
    "N_POSITION_BINS",
    "SINGLE_BLOCK_SIZE",
    "CountMatrix",
    "CountsOfRange",
    "Documents",
    "Gpu",
    "GpuBlock",
    "GpuCounts",
    "GpuOperator",
    "GpuPairStream",
    "GpuPairSummer",
    "GpuTerm",
    "HashCost",
    "KneserNey",
    "ListedNgrams",
    "ModelSizes",
    "NextTokens",
    "NgramCounts",
    "NgramFacts",
    "NgramStatistics",
    "NgramSweep",
    "NgramUnits",
    "NgramWindows",
    "PairBuffer",
    "PairCounts",
    "PairLabel",
    "PairMemory",
    "PairsAtLag",
    "Share",
    "SortedShards",
    "SuffixCost",
    "SuffixCounts",
    "TokenSlices",
    "Tokens",
    "WindowCounter",
    "add_statistics",
    "bilinear_forms_by_class",
    "blocks_at_once",
    "build_info",
    "count_document_tokens",
    "count_document_tokens_on",
    "count_ngram_windows",
    "count_ngrams",
    "count_pairs",
    "count_pairs_by_class",
    "count_tokens_by_class",
    "cuda_devices",
    "fits_hash",
    "hash_cost",
    "hashed_ngrams",
    "mark_copies",
    "models_in_budget",
    "mostly_unused",
    "multiply_pairs",
    "multiply_pairs_by_class",
    "pair_bytes",
    "pair_summer",
    "pair_tables_fit",
    "positions_that_fit",
    "shuffle_documents",
    "simd_level",
    "step_tokens",
    "stream_pairs",
    "suffix_array",
    "suffix_cost",
    "suffix_samples",
    "sum_counts",
    "sum_pairs_by_document",
    "token_counts",
]
