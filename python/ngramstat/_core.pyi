import enum
from collections.abc import Sequence
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

_Tokens: TypeAlias = NDArray[np.uint16] | NDArray[np.uint32]
BLOCK_SIZE: int
SINGLE_BLOCK_SIZE: int
LOSS_BITS: int
MAX_ARPA_ORDER: int
MAX_DEPTH: int
MAX_ORDER: int
N_POSITION_BINS: int
_NgramTables = tuple[
    list[tuple[list[NDArray[np.uint64]], list[NDArray[np.uint64]], int]],
    NDArray[np.int64],
    NDArray[np.uint64],
]

class DeviceError(RuntimeError): ...
class DeviceMemoryError(DeviceError): ...

class PairLabel(enum.Enum):
    half = 0
    fold = 1
    half_and_position = 2

class ArpaParser:
    def __init__(self) -> None: ...
    def feed(self, data: bytes) -> None: ...
    def finish(self) -> None: ...
    def take(
        self,
    ) -> list[tuple[NDArray[np.uint32], NDArray[np.float64], NDArray[np.float64]]]: ...
    def counts(self) -> list[int]: ...
    def first_lines(self) -> list[int]: ...
    def preamble(self) -> bytes: ...
    def words(self) -> list[bytes]: ...
    def word_bytes(self) -> int: ...

def arpa_lines(
    words: NDArray[np.uint32],
    log_probs: NDArray[np.float64],
    backoffs: NDArray[np.float64],
    spellings: bytes,
    ends: NDArray[np.int64],
) -> bytes: ...

class Documents:
    def __init__(
        self,
        ends: NDArray[np.int64],
        *,
        content_starts: NDArray[np.int64] | None = None,
        content_ends: NDArray[np.int64] | None = None,
        folds: NDArray[np.uint8] | None = None,
        n_folds: int = 2,
        clusters: NDArray[np.uint32] | None = None,
        n_clusters: int = 1,
    ) -> None: ...
    @staticmethod
    def single(n_tokens: int) -> Documents: ...
    def with_clusters(self, clusters: NDArray[np.uint32], n_clusters: int) -> Documents: ...
    def __len__(self) -> int: ...
    @property
    def n_tokens(self) -> int: ...
    @property
    def n_folds(self) -> int: ...
    @property
    def n_clusters(self) -> int: ...
    @property
    def starts(self) -> NDArray[np.int64]: ...
    @property
    def ends(self) -> NDArray[np.int64]: ...
    @property
    def content_starts(self) -> NDArray[np.int64]: ...
    @property
    def content_ends(self) -> NDArray[np.int64]: ...
    @property
    def folds(self) -> NDArray[np.uint8]: ...
    @property
    def halves(self) -> NDArray[np.uint8]: ...
    @property
    def clusters(self) -> NDArray[np.uint32]: ...

class CountMatrix:
    def __init__(self, n_rows: int, n_cols: int) -> None: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def nnz(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def append(self, other: CountMatrix) -> None: ...
    def row_sums(self, threads: int = 1) -> NDArray[np.uint64]: ...
    def column_sums(self, threads: int = 1) -> NDArray[np.uint64]: ...
    def to_coo(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]: ...
    @staticmethod
    def from_rows(
        n_rows: int,
        n_cols: int,
        row_start: NDArray[np.int64],
        column: NDArray[np.uint32],
        first: NDArray[np.uint32],
        second: NDArray[np.uint32],
    ) -> CountMatrix: ...
    def to_rows(
        self,
    ) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32]]: ...
    def multiply(
        self, x: NDArray[np.float64], first: float, second: float, threads: int
    ) -> NDArray[np.float64]: ...
    def multiply_transposed(
        self, x: NDArray[np.float64], first: float, second: float, threads: int
    ) -> NDArray[np.float64]: ...
    def multiply_gram(
        self, x: NDArray[np.float64], row_weights: NDArray[np.float64], threads: int
    ) -> NDArray[np.float64]: ...
    def multiply_transposed_by_class(
        self,
        x: NDArray[np.float64],
        classes: NDArray[np.uint8],
        n_classes: int,
        threads: int,
    ) -> NDArray[np.float64]: ...
    def multiply_single(
        self, x: NDArray[np.float32], weights: NDArray[np.float32], threads: int
    ) -> NDArray[np.float32]: ...
    def multiply_rows_single(
        self, x: NDArray[np.float32], block_of_row: NDArray[np.uint8], threads: int
    ) -> NDArray[np.float32]: ...
    def multiply_transposed_single(
        self, x: NDArray[np.float32], weights: NDArray[np.float32], threads: int
    ) -> NDArray[np.float32]: ...
    def multiply_gram_single(
        self,
        x: NDArray[np.float32],
        weights: NDArray[np.float32],
        row_weights: NDArray[np.float64],
        channels: NDArray[np.uint8],
        threads: int,
    ) -> NDArray[np.float32]: ...
    def inner_product(
        self,
        other: CountMatrix,
        weights: tuple[float, float],
        other_weights: tuple[float, float],
        threads: int,
    ) -> float: ...

def sum_of_matrices(matrices: list[CountMatrix], threads: int) -> CountMatrix: ...
def count_pairs_of_token(
    tokens: _Tokens,
    vocab_size: int,
    documents: Documents,
    token: int,
    lags: list[int],
    threads: int,
) -> list[tuple[CountMatrix, CountMatrix]]: ...

class PairBuffer:
    def __init__(self) -> None: ...
    def release(self) -> None: ...

class PairCounter:
    def __init__(
        self,
        tokens: _Tokens,
        vocab_size: int,
        documents: Documents,
        first_token: int,
        last_token: int,
        tables: bool,
        threads: int,
    ) -> None: ...
    def count(
        self, lags: list[int], buffer: PairBuffer, threads: int
    ) -> list[tuple[CountMatrix, CountMatrix]]: ...

class IndexShards16:
    def __init__(self, vocab_size: int, depth: int, stop_token: int) -> None: ...
    def add(
        self,
        tokens: NDArray[np.uint16],
        suffixes: NDArray[np.uint32],
        token_starts: NDArray[np.int64],
        document_ends: NDArray[np.int64],
        samples: NDArray[np.uint64],
        continues: bool,
    ) -> None: ...
    def count(
        self,
        tokens: NDArray[np.uint32],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        threads: int,
    ) -> NDArray[np.int64]: ...
    def count_documents(
        self,
        tokens: NDArray[np.uint32],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        threads: int,
    ) -> NDArray[np.int64]: ...
    def ranges(
        self,
        shard: int,
        tokens: NDArray[np.uint32],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        threads: int,
    ) -> NDArray[np.int64]: ...
    def next_tokens(
        self,
        tokens: NDArray[np.uint32],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        threads: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64]]: ...
    def count_next(
        self,
        tokens: NDArray[np.uint32],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        rows: NDArray[np.int64],
        threads: int,
    ) -> None: ...
    def longest_suffixes(
        self,
        tokens: NDArray[np.uint32],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        every_token: bool,
        max_context: int,
        threads: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]: ...

class IndexShards32:
    def __init__(self, vocab_size: int, depth: int, stop_token: int) -> None: ...
    def add(
        self,
        tokens: NDArray[np.uint32],
        suffixes: NDArray[np.uint32],
        token_starts: NDArray[np.int64],
        document_ends: NDArray[np.int64],
        samples: NDArray[np.uint64],
        continues: bool,
    ) -> None: ...
    def count(
        self,
        tokens: NDArray[np.uint32],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        threads: int,
    ) -> NDArray[np.int64]: ...
    def count_documents(
        self,
        tokens: NDArray[np.uint32],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        threads: int,
    ) -> NDArray[np.int64]: ...
    def ranges(
        self,
        shard: int,
        tokens: NDArray[np.uint32],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        threads: int,
    ) -> NDArray[np.int64]: ...
    def next_tokens(
        self,
        tokens: NDArray[np.uint32],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        threads: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.int64]]: ...
    def count_next(
        self,
        tokens: NDArray[np.uint32],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        rows: NDArray[np.int64],
        threads: int,
    ) -> None: ...
    def longest_suffixes(
        self,
        tokens: NDArray[np.uint32],
        begins: NDArray[np.int64],
        ends: NDArray[np.int64],
        every_token: bool,
        max_context: int,
        threads: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]: ...

class WindowCounter:
    def __init__(
        self,
        tokens: _Tokens,
        vocab_size: int,
        documents: Documents,
        rows: tuple[int, int],
        within_content: bool,
        both_sides: bool,
        threads: int,
    ) -> None: ...
    def sum(
        self, rows: tuple[int, int], lags: list[int], threads: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint64]]: ...
    def weigh(
        self,
        rows: tuple[int, int],
        lags: list[int],
        weights: list[float],
        wide: bool,
        threads: int,
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]: ...

class KneserNey16:
    def __init__(
        self,
        held_out: NDArray[np.uint16],
        documents: Documents,
        vocab_size: int,
        order: int,
        stop_token: int,
    ) -> None: ...
    @property
    def index_bytes(self) -> int: ...
    @property
    def model_bytes(self) -> int: ...
    @property
    def scoring_bytes(self) -> int: ...
    def reset(self, n_models: int, threads: int) -> None: ...
    def add_training(
        self,
        training: NDArray[np.uint16],
        parts: NDArray[np.int64],
        first_token: int,
        last_token: int,
        threads: int,
        prefix: Sequence[int],
    ) -> None: ...
    def add_windows(
        self,
        tokens: NDArray[np.uint16],
        head: int,
        parts: NDArray[np.int64],
        first_token: int,
        last_token: int,
        threads: int,
    ) -> None: ...
    def add_ngram(
        self, model: int, ngram: Sequence[int], count: int, distinct_before: int
    ) -> None: ...
    def counts_of_ranges(
        self, model: int
    ) -> tuple[
        NDArray[np.uint64],
        NDArray[np.uint64],
        NDArray[np.uint32],
        NDArray[np.uint64],
        NDArray[np.uint32],
        NDArray[np.uint64],
    ]: ...
    def add_counts(
        self,
        model: int,
        raw: NDArray[np.uint64],
        continuation: NDArray[np.uint64],
        contexts: NDArray[np.uint32],
        followers: NDArray[np.uint64],
        ngrams: NDArray[np.uint32],
        counts: NDArray[np.uint64],
    ) -> None: ...
    def counts(self, model: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]: ...
    def score(
        self,
        model: int,
        raw: NDArray[np.float64],
        continuation: NDArray[np.float64],
        threads: int,
    ) -> NDArray[np.float64]: ...

class KneserNey32:
    def __init__(
        self,
        held_out: NDArray[np.uint32],
        documents: Documents,
        vocab_size: int,
        order: int,
        stop_token: int,
    ) -> None: ...
    @property
    def index_bytes(self) -> int: ...
    @property
    def model_bytes(self) -> int: ...
    @property
    def scoring_bytes(self) -> int: ...
    def reset(self, n_models: int, threads: int) -> None: ...
    def add_training(
        self,
        training: NDArray[np.uint32],
        parts: NDArray[np.int64],
        first_token: int,
        last_token: int,
        threads: int,
        prefix: Sequence[int],
    ) -> None: ...
    def add_windows(
        self,
        tokens: NDArray[np.uint32],
        head: int,
        parts: NDArray[np.int64],
        first_token: int,
        last_token: int,
        threads: int,
    ) -> None: ...
    def add_ngram(
        self, model: int, ngram: Sequence[int], count: int, distinct_before: int
    ) -> None: ...
    def counts_of_ranges(
        self, model: int
    ) -> tuple[
        NDArray[np.uint64],
        NDArray[np.uint64],
        NDArray[np.uint32],
        NDArray[np.uint64],
        NDArray[np.uint32],
        NDArray[np.uint64],
    ]: ...
    def add_counts(
        self,
        model: int,
        raw: NDArray[np.uint64],
        continuation: NDArray[np.uint64],
        contexts: NDArray[np.uint32],
        followers: NDArray[np.uint64],
        ngrams: NDArray[np.uint32],
        counts: NDArray[np.uint64],
    ) -> None: ...
    def counts(self, model: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]: ...
    def score(
        self,
        model: int,
        raw: NDArray[np.float64],
        continuation: NDArray[np.float64],
        threads: int,
    ) -> NDArray[np.float64]: ...

class Checksum:
    def __init__(self) -> None: ...
    def update(self, bytes: NDArray[np.uint8]) -> None: ...
    def value(self) -> int: ...

class SampleRanks:
    def __init__(self, n_tokens: int) -> None: ...
    @property
    def complete(self) -> bool: ...
    def sort(
        self, text: SuffixText16 | SuffixText32, first_token: int, last_token: int, threads: int
    ) -> None: ...
    def refine(self, text: SuffixText16 | SuffixText32) -> bool: ...

class SuffixText16:
    def __init__(
        self,
        tokens: NDArray[np.uint16],
        vocab_size: int,
        depth: int,
        stop_token: int,
        document_ends: NDArray[np.int64],
    ) -> None: ...
    def sort(
        self,
        first_token: int,
        last_token: int,
        ranks: SampleRanks | None,
        suffixes: NDArray[np.uint32],
        threads: int,
    ) -> bool: ...
    def sort_to_file(
        self,
        first_token: int,
        last_token: int,
        ranks: SampleRanks | None,
        file: int,
        offset: int,
        threads: int,
    ) -> bool: ...

class SuffixText32:
    def __init__(
        self,
        tokens: NDArray[np.uint32],
        vocab_size: int,
        depth: int,
        stop_token: int,
        document_ends: NDArray[np.int64],
    ) -> None: ...
    def sort(
        self,
        first_token: int,
        last_token: int,
        ranks: SampleRanks | None,
        suffixes: NDArray[np.uint32],
        threads: int,
    ) -> bool: ...
    def sort_to_file(
        self,
        first_token: int,
        last_token: int,
        ranks: SampleRanks | None,
        file: int,
        offset: int,
        threads: int,
    ) -> bool: ...

def build_info() -> dict[str, Any]: ...
def simd_level() -> str: ...
def rss_bytes() -> int: ...
def exit_when_mapped_files_shrink() -> None: ...
def trim_heap() -> None: ...
def release_pages_if_needed() -> None: ...
def release_pages() -> None: ...
def pair_tables_fit(vocab_size: int) -> bool: ...
def set_releasable_mappings(mappings: list[tuple[int, int]], threshold: int) -> None: ...
def cuda_devices() -> list[dict[str, Any]]: ...
def cuda_free_bytes(device: int) -> int: ...
def token_counts(tokens: _Tokens, vocab_size: int, threads: int) -> NDArray[np.int64]: ...
def count_document_tokens(
    tokens: _Tokens, vocab_size: int, documents: Documents, threads: int
) -> CountMatrix: ...
def shuffle_documents(
    tokens: _Tokens,
    documents: Documents,
    key: int,
    first_position: int,
    out: _Tokens,
    threads: int,
) -> None: ...
def sum_pairs_by_document(
    tokens: _Tokens,
    vocab_size: int,
    lag: int,
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    documents: Documents,
    across: bool,
    threads: int,
) -> tuple[NDArray[np.uint64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]: ...
def count_pairs_by_class(
    tokens: _Tokens,
    vocab_size: int,
    lag: int,
    documents: Documents,
    across: bool,
    by: PairLabel,
    tokens_by_class: NDArray[np.uint64] | None,
    threads: int,
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]: ...
def count_tokens_by_class(
    tokens: _Tokens,
    vocab_size: int,
    documents: Documents,
    across: bool,
    by: PairLabel,
    threads: int,
) -> NDArray[np.uint64]: ...
def multiply_pairs_by_class(
    tokens: _Tokens,
    vocab_size: int,
    lag: int,
    n_kinds: int,
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    documents: Documents,
    across: bool,
    by: PairLabel,
    threads: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint64], NDArray[np.uint64]]: ...
def bilinear_forms_by_class(
    tokens: _Tokens,
    vocab_size: int,
    lag: int,
    n_kinds: int,
    a: NDArray[np.float32],
    b: NDArray[np.int16],
    documents: Documents,
    across: bool,
    by: PairLabel,
    threads: int,
) -> NDArray[np.float64]: ...
def multiply_pairs(
    tokens: _Tokens,
    vocab_size: int,
    lag: int,
    x: NDArray[np.float64],
    class_weights: NDArray[np.float64],
    documents: Documents,
    across: bool,
    by: PairLabel,
    transposed: bool,
    threads: int,
) -> NDArray[np.float64]: ...
def tokens_of_block(n_tokens: int) -> int: ...
def suffix_packing(vocab_size: int, depth: int) -> tuple[int, bool]: ...
def mark_copies(
    scored: _Tokens, documents: Documents, training: _Tokens, length: int, threads: int
) -> NDArray[np.uint8]: ...

class KeyOrder(enum.Enum):
    hashed = 0
    lexicographic = 1

class NgramPacking:
    def __init__(self, vocab_size: int, n: int) -> None: ...
    @property
    def n(self) -> int: ...
    @property
    def key_bits(self) -> int: ...

class CountedNgrams:
    @overload
    def __init__(self) -> None: ...
    @overload
    def __init__(self, other: CountedNgrams) -> None: ...
    def __len__(self) -> int: ...
    def counts(self, first: int, last: int) -> NDArray[np.uint64]: ...
    def unpack(
        self, packing: NgramPacking, order: KeyOrder, out: _Tokens, first: int, threads: int
    ) -> None: ...

class NgramBuckets:
    def __init__(
        self,
        tokens: _Tokens,
        packing: NgramPacking,
        documents: Documents,
        across: bool,
        range: tuple[int, int],
        layout: tuple[int, int, int],
    ) -> None: ...
    @property
    def n_chunks(self) -> int: ...
    def measure(self, first_chunk: int, last_chunk: int, threads: int) -> None: ...
    def bucket_sizes(self) -> NDArray[np.int64]: ...
    def start(self, first_bucket: int, last_bucket: int) -> None: ...
    def fill(self, first_chunk: int, last_chunk: int, threads: int) -> None: ...
    def count(
        self,
        first_bucket: int,
        last_bucket: int,
        min_count: int,
        threads: int,
        counted: CountedNgrams,
    ) -> None: ...

class RunEncoder:
    def __init__(self, key_bits: int) -> None: ...
    def encode(self, ngrams: CountedNgrams, first: int, last: int) -> NDArray[np.uint8]: ...

class RunMerger:
    def __init__(self, runs: list[NDArray[np.uint8]], key_bits: int) -> None: ...
    def next(self, most: int, min_count: int) -> CountedNgrams: ...

def run_bytes(key_bits: int, n_ngrams: float) -> float: ...
def sort_ngrams(
    parts: list[CountedNgrams], packing: NgramPacking, threads: int
) -> CountedNgrams: ...
def check_suffixes(
    tokens: _Tokens,
    depth: int,
    stop_token: int,
    suffixes: NDArray[np.uint32],
    ranks: NDArray[np.uint32],
    threads: int,
) -> tuple[int, int]: ...
def zero_rows(rows: int, width: int, threads: int) -> NDArray[np.int64]: ...
def suffix_samples(
    tokens: _Tokens,
    suffixes: NDArray[np.uint32],
    vocab_size: int,
    depth: int,
    stop_token: int,
    threads: int,
) -> NDArray[np.uint64]: ...
def longest_matches(
    tokens: _Tokens,
    suffixes: NDArray[np.uint32],
    token_starts: NDArray[np.int64],
    depth: int,
    text: _Tokens,
    ranges: NDArray[np.int64],
    is_own: bool,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]: ...
def mark_duplicates(
    shards: list[tuple[_Tokens, NDArray[np.uint32], NDArray[np.uint8]]],
    ranks: NDArray[np.int64],
    vocab_size: int,
    stop_token: int,
    length: int,
    later_only: bool,
    threads: int,
) -> None: ...
def common_lengths(
    tokens: _Tokens, text: _Tokens, ranges: NDArray[np.int64], places: NDArray[np.int64]
) -> NDArray[np.int64]: ...
def suffix_array(
    tokens: _Tokens, vocab_size: int, depth: int, backward: bool, stop_token: int, threads: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]: ...
def count_ngrams(
    tokens: _Tokens,
    vocab_size: int,
    max_context: int,
    documents: Documents,
    across: bool,
    first_token: int,
    last_token: int,
    threads: int,
    prefix: Sequence[int],
) -> _NgramTables: ...
def count_ngram(
    tokens: _Tokens,
    max_context: int,
    documents: Documents,
    across: bool,
    ngram: Sequence[int],
    threads: int,
) -> _NgramTables: ...
def tokens_before(
    tokens: _Tokens,
    vocab_size: int,
    first: int,
    last: int,
    ngram: Sequence[int],
    threads: int,
) -> NDArray[np.int64]: ...

class NgramTableOptions:
    def __init__(
        self,
        *,
        orders: Sequence[int],
        min_count: int,
        units: str,
        followers: bool,
        predecessors: bool,
        documents: bool,
    ) -> None: ...

def list_ngrams(
    tokens: _Tokens,
    vocab_size: int,
    options: NgramTableOptions,
    documents: Documents,
    first_token: int,
    last_token: int,
    threads: int,
) -> list[
    tuple[_Tokens, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
]: ...
def sample_trees(
    levels: list[tuple[int, NDArray[np.uint64], NDArray[np.uint32], NDArray[np.uint32]]],
    branching: int,
    by_child: bool,
    n_tokens: int,
    key: int,
    first_leaf: int,
    out: _Tokens,
    threads: int,
) -> None: ...
def sample_paths(
    offsets: NDArray[np.int64],
    threshold: NDArray[np.uint64],
    alias: NDArray[np.uint32],
    token: NDArray[np.uint32],
    next: NDArray[np.uint32],
    key: int,
    first_word: int,
    states: NDArray[np.uint32],
    length: int,
    out: _Tokens,
    threads: int,
) -> None: ...
def sample_ngrams(
    arrays: tuple[
        NDArray[np.int64],
        NDArray[np.uint64],
        NDArray[np.uint32],
        NDArray[np.uint32],
        NDArray[np.uint32],
        int,
    ],
    first_full: int,
    vocab_size: int,
    never: int,
    key: int,
    first_token: int,
    start: int,
    ends: NDArray[np.int64],
    out: _Tokens,
    threads: int,
) -> None: ...

BUCKETS: int
MAX_MIXERS: int
MAX_OFFSET: int
FALLBACK_UNIT: float
LOGIT_UNIT: float

def path_lengths(leaf_of: NDArray[np.uint32], split: NDArray[np.uint32]) -> NDArray[np.uint32]: ...
def decision_states(
    leaf_of: NDArray[np.uint32],
    split: NDArray[np.uint32],
    tokens: NDArray[np.uint32],
    offsets: NDArray[np.int64],
    max_depth: int,
    max_nodes: int,
    states: NDArray[np.uint16],
    threads: int,
) -> None: ...

class KneserNeyEstimator:
    def __init__(
        self,
        trie: MutableNgramTrie,
        unigram_counts: NDArray[np.uint64],
        discounts: NDArray[np.float64],
        min_counts: NDArray[np.uint64],
    ) -> None: ...
    def estimate(self, first_token: int, last_token: int, threads: int) -> None: ...

class MutableNgramTrie:
    def __init__(self, vocab_size: int, symbols: int, levels: list[NDArray[np.uint64]]) -> None: ...
    def remove_pruned(self) -> list[int]: ...

class NgramTrie:
    def __init__(
        self,
        vocab_size: int,
        symbols: int,
        levels: list[NDArray[np.uint64]],
        guides: list[NDArray[np.uint32]],
    ) -> None: ...
    def guide(self, order: int, threads: int) -> NDArray[np.uint32]: ...
    def next_scores(
        self,
        tokens: NDArray[np.int64],
        ends: NDArray[np.int64],
        stop_token: int,
        threads: int,
    ) -> NDArray[np.float64]: ...
    def scores16(
        self,
        tokens: NDArray[np.uint16],
        stop_token: int,
        all_contexts: bool,
        threads: int,
    ) -> NDArray[np.float64]: ...
    def scores32(
        self,
        tokens: NDArray[np.uint32],
        stop_token: int,
        all_contexts: bool,
        threads: int,
    ) -> NDArray[np.float64]: ...

class NgramTrainer16:
    def __init__(
        self,
        tokens: NDArray[np.uint16],
        first_event: int,
        vocab_size: int,
        order: int,
        stop_token: int,
    ) -> None: ...
    def count(
        self, first_token: int, last_token: int, threads: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]]: ...
    def store(
        self,
        trie: MutableNgramTrie,
        tokens: tuple[int, int],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        unigram_counts: NDArray[np.uint64],
        min_counts: NDArray[np.uint64],
        threads: int,
    ) -> None: ...

class NgramTrainer32:
    def __init__(
        self,
        tokens: NDArray[np.uint32],
        first_event: int,
        vocab_size: int,
        order: int,
        stop_token: int,
    ) -> None: ...
    def count(
        self, first_token: int, last_token: int, threads: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]]: ...
    def store(
        self,
        trie: MutableNgramTrie,
        tokens: tuple[int, int],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        unigram_counts: NDArray[np.uint64],
        min_counts: NDArray[np.uint64],
        threads: int,
    ) -> None: ...

class ContextCounts:
    def __init__(
        self,
        tokens: _Tokens,
        targets: NDArray[np.int64],
        n_leave_one_out: int,
        second_stream: int,
        vocab_size: int,
        stop_token: int,
        offsets: list[int],
        maps: list[int],
        class_maps: NDArray[np.uint32],
        threads: int,
    ) -> None: ...
    def count(
        self,
        training: _Tokens,
        first_event: int,
        first_leave_one_out: int,
        continuation_offset: int,
        max_events: int,
        threads: int,
        candidates: NDArray[np.uint64],
        known: NDArray[np.uint64],
    ) -> None: ...
    def counts_of_counts(
        self, continuation: bool, left_out: bool, threads: int
    ) -> NDArray[np.uint64]: ...
    def interpolate(
        self,
        leaf_of: NDArray[np.uint32],
        split: NDArray[np.uint32],
        raw: list[float],
        continuation: list[float],
        decision_offsets: NDArray[np.int64],
        parent_logits: NDArray[np.int16],
        packed_logits: NDArray[np.uint16],
        fallback_logits: NDArray[np.int16],
        threads: int,
    ) -> None: ...

class MixerGroup:
    def __init__(
        self,
        parents: list[int],
        initial: list[float],
        chain: list[int],
        selector_sizes: list[int],
        shapes: list[list[int]],
    ) -> None: ...
    def weights(self, mixer: int) -> list[NDArray[np.float32]]: ...
    def set_weights(self, mixer: int, weights: list[NDArray[np.float32]]) -> None: ...
    def train(
        self,
        packed_logits: NDArray[np.uint16],
        selectors: NDArray[np.uint16],
        first: int,
        last: int,
        rates: list[float],
    ) -> list[float]: ...
    def score(
        self,
        packed_logits: NDArray[np.uint16],
        selectors: NDArray[np.uint16],
        decision_offsets: NDArray[np.int64],
    ) -> NDArray[np.float64]: ...

class DeviceTokens:
    def __init__(self, tensor: object) -> None: ...
    def __len__(self) -> int: ...
    @property
    def device(self) -> int: ...

class GpuCounts:
    @property
    def gpu(self) -> Gpu: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def nnz(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def row_sums(self, threads: int = 1) -> NDArray[np.uint64]: ...
    def column_sums(self, threads: int = 1) -> NDArray[np.uint64]: ...
    def to_coo(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]: ...
    def to_host(self, threads: int) -> CountMatrix: ...
    def multiply(
        self, x: NDArray[np.float64], first: float, second: float, threads: int
    ) -> NDArray[np.float64]: ...
    def multiply_transposed(
        self, x: NDArray[np.float64], first: float, second: float, threads: int
    ) -> NDArray[np.float64]: ...
    def inner_product(
        self,
        other: GpuCounts,
        weights: tuple[float, float],
        other_weights: tuple[float, float],
        threads: int,
    ) -> float: ...
    def multiply_gram(
        self, x: NDArray[np.float64], row_weights: NDArray[np.float64], threads: int
    ) -> NDArray[np.float64]: ...
    def weighted(self, first: float, second: float) -> GpuTerm: ...

class GpuTerm:
    @property
    def gpu(self) -> Gpu: ...

class GpuPairStream:
    @property
    def gpu(self) -> Gpu: ...
    def counts(self, lag: int, by_right: bool) -> NDArray[np.uint64]: ...
    def weighted(self, lag: int, first: float, second: float) -> GpuTerm: ...

class GpuBlock:
    @property
    def rows(self) -> int: ...
    def to_host(self) -> NDArray[np.float64]: ...
    def copy(self) -> GpuBlock: ...
    def project_out(self, q: GpuBlock, /) -> None: ...
    def subtract(self, q: GpuBlock, coefficients: NDArray[np.float64]) -> None: ...
    def transform(self, coefficients: NDArray[np.float64]) -> None: ...
    def gram(self) -> NDArray[np.float64]: ...

class GpuOperator:
    def multiply(self, x: GpuBlock, /) -> GpuBlock: ...
    def multiply_transposed(self, x: GpuBlock, /) -> GpuBlock: ...

class GpuPairCounter:
    @property
    def lags_at_once(self) -> int: ...
    def count(self, lags: list[int]) -> list[tuple[GpuCounts, GpuCounts]]: ...

class GpuPairSummer:
    @property
    def documents(self) -> Documents: ...
    def sum_by_document(
        self, lag: int, u: NDArray[np.float64], v: NDArray[np.float64], across: bool
    ) -> tuple[
        NDArray[np.uint64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]
    ]: ...
    def multiply_by_class(
        self, lag: int, u: NDArray[np.float64], v: NDArray[np.float64], across: bool, by: PairLabel
    ) -> tuple[
        NDArray[np.float64], NDArray[np.float64], NDArray[np.uint64], NDArray[np.uint64]
    ]: ...
    def bilinear_forms_by_class(
        self, lag: int, a: NDArray[np.float32], b: NDArray[np.float32], across: bool, by: PairLabel
    ) -> NDArray[np.float64]: ...

class GpuFollowersCounter:
    def count(
        self,
        counts: ContextCounts,
        first_event: int,
        first_leave_one_out: int,
        continuation_offset: int,
        threads: int,
        candidates: NDArray[np.uint64],
        known: NDArray[np.uint64],
    ) -> None: ...

class GpuNgramCounter:
    @property
    def positions_that_fit(self) -> int: ...
    @property
    def token_counts(self) -> NDArray[np.int64]: ...
    def count(self, first_token: int, last_token: int) -> _NgramTables: ...

class Gpu:
    def __init__(self, device: int, memory_limit: int) -> None: ...
    @staticmethod
    def emulated(memory_limit: int, shared_bytes: int = 232448) -> Gpu: ...
    @property
    def name(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def memory_limit(self) -> int: ...
    @property
    def used_bytes(self) -> int: ...
    @property
    def peak_bytes(self) -> int: ...
    def pair_counter(
        self,
        tokens: object,
        vocab_size: int,
        documents: Documents,
    ) -> GpuPairCounter: ...
    def count_document_tokens(
        self, tokens: object, vocab_size: int, documents: Documents
    ) -> GpuCounts: ...
    def pair_stream(
        self,
        tokens: object,
        vocab_size: int,
        documents: Documents,
        across: bool,
    ) -> GpuPairStream: ...
    def pair_summer(
        self, tokens: object, vocab_size: int, documents: Documents
    ) -> GpuPairSummer: ...
    def ngram_counter(
        self,
        tokens: object,
        vocab_size: int,
        max_context: int,
        documents: Documents,
        across: bool,
    ) -> GpuNgramCounter: ...
    @overload
    def train_kneser_ney(
        self, model: KneserNey16, training: NDArray[np.uint16], parts: NDArray[np.int64]
    ) -> None: ...
    @overload
    def train_kneser_ney(
        self, model: KneserNey32, training: NDArray[np.uint32], parts: NDArray[np.int64]
    ) -> None: ...
    def followers_counter(
        self, tokens: object, vocab_size: int, stop_token: int
    ) -> GpuFollowersCounter: ...
    def suffix_array(
        self, tokens: object, vocab_size: int, depth: int, backward: bool, stop_token: int
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8]]: ...
    def block(self, values: NDArray[np.float64]) -> GpuBlock: ...
    def covariance(
        self,
        terms: list[GpuTerm],
        left: NDArray[np.float64],
        right: NDArray[np.float64],
        vocab_mask: NDArray[np.uint8] | None,
    ) -> GpuOperator: ...
