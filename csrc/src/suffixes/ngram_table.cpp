#include "ngramstat/suffixes/ngram_table.hpp"

#include <algorithm>
#include <deque>
#include <mutex>

#include "ngramstat/base/interval_lookup.hpp"
#include "ngramstat/base/prefetch.hpp"

namespace ngramstat {

namespace {

// Positions whose tokens are prefetched, and positions read between two checks of resident memory.
constexpr std::size_t kAhead = 32;
constexpr std::size_t kBetweenReleases = 512;

// Counts distinct labels of one group after the other.
class DistinctCounter {
  public:
    explicit DistinctCounter(std::size_t n_labels) : group_of_(n_labels, 0) {}

    void start() {
        count_ = 0;
        if (++group_ == 0) {  // all numbers of groups are used up
            std::fill(group_of_.begin(), group_of_.end(), 0);
            group_ = 1;
        }
    }
    void add(std::uint32_t label) {
        if (group_of_[label] == group_) return;
        group_of_[label] = group_;
        ++count_;
    }
    Index count() const { return count_; }

  private:
    std::vector<std::uint32_t> group_of_;  // the last group that held the label
    std::uint32_t group_ = 0;
    Index count_ = 0;
};

std::vector<Segment> units_of(const Documents& documents, NgramUnits units) {
    std::vector<Segment> segments;
    if (units == NgramUnits::stream) {
        segments.push_back({0, documents.n_tokens()});
        return segments;
    }
    const bool content = units == NgramUnits::content;
    const auto starts = content ? documents.content_starts() : documents.starts();
    const auto ends = content ? documents.content_ends() : documents.ends();
    for (std::size_t d = 0; d < starts.size(); ++d) segments.push_back({starts[d], ends[d]});
    return segments;
}

// The positions where an n-gram of this order begins.
std::vector<Segment> beginnings(std::span<const Segment> units, int order) {
    std::vector<Segment> segments;
    for (const Segment& unit : units) {
        const Index last = unit.last - order + 1;
        if (unit.first < last) segments.push_back({unit.first, last});
    }
    return segments;
}

// What all workers share.
template <class Token, class Position>
struct Sources {
    std::span<const Token> tokens;
    Index vocab_size;
    const NgramTableOptions& options;
    const Documents& documents;
    std::vector<Segment> units;
    // Whether sorted positions may begin n-grams that leave their unit, which are not counted.
    bool leaves_units;
    IntervalLookup unit_of, document_of;

    Sources(std::span<const Token> stream, Index size, const NgramTableOptions& chosen,
            const Documents& all)
        : tokens(stream),
          vocab_size(size),
          options(chosen),
          documents(all),
          units(units_of(all, chosen.units)) {
        const bool one_length = options.orders.size() == 1 && !options.followers;
        leaves_units = options.units != NgramUnits::stream && !one_length;
        if (leaves_units || options.predecessors) {
            unit_of = IntervalLookup(static_cast<Index>(units.size()),
                                     [&](Index u) { return units[u].last; });
        }
        if (options.documents) {
            document_of =
                IntervalLookup(documents.size(), [&](Index d) { return documents.ends()[d]; });
        }
    }
    bool with_positions() const {
        return leaves_units || options.predecessors || options.documents;
    }
};

// One worker's pass over sorted blocks: one group of places after the other that share an n-gram.
template <class Token, class Position>
class TableSweep {
  public:
    using Blocks = SuffixBlocks<Token, Position>;
    using Sorted = SortedSuffixes<Position>;

    TableSweep(const Sources<Token, Position>& sources, const Blocks& blocks)
        : sources_(sources),
          options_(sources.options),
          blocks_(blocks),
          tokens_before_(options_.predecessors ? static_cast<std::size_t>(sources.vocab_size) : 0),
          documents_of_group_(
              options_.documents ? static_cast<std::size_t>(sources.documents.size()) : 0) {}

    SuffixScratch<Position> scratch;

    // Appends the n-grams of a block, one after the other (NgramTable::columns transposed).
    void add(const Sorted& sorted, std::span<NgramTable<Token>> tables) {
        sorted_ = &sorted;
        describe_members();
        for (std::size_t o = 0; o < options_.orders.size(); ++o) {
            const int order = options_.orders[o];
            for_groups(order, [&](std::size_t begin, std::size_t end) {
                append(order, begin, end, tables[o]);
            });
        }
    }

  private:
    // Calls visit(begin, end) for the places that share their first `order` symbols, where these
    // may be enough.
    template <class Visit>
    void for_groups(int order, Visit&& visit) const {
        const auto lcp = sorted_->lcp;
        const std::size_t n = lcp.size();
        for (std::size_t begin = 0, end = 0; begin < n; begin = end) {
            end = begin + 1;
            while (end < n && lcp[end] >= order) ++end;
            if (end - begin >= options_.min_count) visit(begin, end);
        }
    }

    // Looks up what is needed of the positions of groups that are large enough. Their places in the
    // stream are random, so it is read ahead.
    void describe_members() {
        if (!sources_.with_positions()) return;
        const std::size_t n = sorted_->positions.size();
        if (sources_.leaves_units) rooms_.resize(n);
        if (options_.predecessors) before_.resize(n);
        if (options_.documents) document_.resize(n);
        std::size_t read = 0;
        for_groups(options_.orders.front(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t k = begin; k < end; ++k) describe(k);
            read += end - begin;
            if (options_.predecessors && read >= kBetweenReleases) {
                release_pages_if_needed();
                read = 0;
            }
        });
    }
    void describe(std::size_t k) {
        const auto positions = sorted_->positions;
        const Index position = static_cast<Index>(positions[k]);
        if (options_.predecessors && k + kAhead < positions.size()) {
            prefetch(sources_.tokens.data() + positions[k + kAhead]);
        }
        if (options_.documents) document_[k] = sources_.document_of(position);
        if (!sources_.leaves_units && !options_.predecessors) return;
        const Segment unit = sources_.units[sources_.unit_of(position)];
        if (sources_.leaves_units) {
            const Index room = std::min<Index>(unit.last - position, kMaxDepth);
            rooms_[k] = static_cast<std::uint8_t>(room);
        }
        if (options_.predecessors) {
            before_[k] = position > unit.first
                             ? static_cast<std::uint32_t>(sources_.tokens[position - 1])
                             : kNoToken;
        }
    }

    bool fits(std::size_t k, int order) const {
        return !sources_.leaves_units || rooms_[k] >= order;
    }

    void append(int order, std::size_t begin, std::size_t end, NgramTable<Token>& table) {
        Index count = static_cast<Index>(end - begin);
        if (sources_.leaves_units) {
            count = 0;
            for (std::size_t k = begin; k < end; ++k) count += rooms_[k] >= order;
            if (count == 0 || static_cast<Count>(count) < options_.min_count) return;
        } else if (count == 1 && blocks_.symbol(*sorted_, begin, order - 1) < 0) {
            return;  // the stream ends before
        }
        table.counts.push_back(count);
        append_tokens(order, begin, table.columns);
        if (options_.followers) table.followers.push_back(followers(order, begin, end));
        if (options_.predecessors) {
            tokens_before_.start();
            for (std::size_t k = begin; k < end; ++k) {
                if (before_[k] != kNoToken && fits(k, order)) tokens_before_.add(before_[k]);
            }
            table.predecessors.push_back(tokens_before_.count());
        }
        if (options_.documents) table.documents.push_back(documents(order, begin, end));
    }

    void append_tokens(int order, std::size_t place, std::vector<Token>& tokens) const {
        if (order <= blocks_.known_symbols()) {
            for (int m = 0; m < order; ++m) {
                tokens.push_back(static_cast<Token>(blocks_.symbol(*sorted_, place, m)));
            }
        } else {
            const auto at = sources_.tokens.begin() + static_cast<Index>(sorted_->positions[place]);
            tokens.insert(tokens.end(), at, at + order);
        }
    }

    Index followers(int order, std::size_t begin, std::size_t end) const {
        Index n = 0;
        bool counted = false;
        for (std::size_t k = begin; k < end; ++k) {
            if (k == begin || sorted_->lcp[k] <= order) counted = false;  // another next token
            if (counted) continue;
            counted =
                sources_.leaves_units ? rooms_[k] > order : blocks_.symbol(*sorted_, k, order) >= 0;
            n += counted;
        }
        return n;
    }

    Index documents(int order, std::size_t begin, std::size_t end) {
        if (order == options_.depth() && !sources_.leaves_units) {
            // Positions ascend among equal sequences, and with them the documents.
            Index n = 1;
            for (std::size_t k = begin + 1; k < end; ++k) n += document_[k] != document_[k - 1];
            return n;
        }
        documents_of_group_.start();
        for (std::size_t k = begin; k < end; ++k) {
            if (fits(k, order)) documents_of_group_.add(document_[k]);
        }
        return documents_of_group_.count();
    }

    static constexpr std::uint32_t kNoToken = ~std::uint32_t{0};
    template <class T>
    using Large = std::vector<T, HugePageAllocator<T>>;

    const Sources<Token, Position>& sources_;
    const NgramTableOptions& options_;
    const Blocks& blocks_;
    const Sorted* sorted_ = nullptr;
    DistinctCounter tokens_before_, documents_of_group_;
    // Of each place of a block: tokens from its position to the end of the unit, the token before
    // it, and its document.
    Large<std::uint8_t> rooms_;
    Large<std::uint32_t> before_;
    Large<std::uint32_t> document_;
};

// Appends the tables of blocks to one, whose tokens are in columns, and frees them.
template <class Token>
NgramTable<Token> joined(std::vector<std::vector<NgramTable<Token>>>& blocks, std::size_t o,
                         int order, int threads) {
    std::vector<std::size_t> offsets{0};
    for (const auto& block : blocks) offsets.push_back(offsets.back() + block[o].counts.size());
    const std::size_t total = offsets.back();
    NgramTable<Token> table;
    table.columns.resize(total * static_cast<std::size_t>(order));
    table.counts.resize(total);
    const auto extra = [&](auto member) {
        for (const auto& block : blocks) {
            if (!(block[o].*member).empty()) return (table.*member).resize(total);
        }
    };
    extra(&NgramTable<Token>::followers);
    extra(&NgramTable<Token>::predecessors);
    extra(&NgramTable<Token>::documents);
    parallel_for(static_cast<Index>(blocks.size()), threads, [&](Index b) {
        const NgramTable<Token> part = std::move(blocks[b][o]);
        const auto at = static_cast<std::ptrdiff_t>(offsets[b]);
        const std::size_t n = part.counts.size();
        for (int m = 0; m < order; ++m) {
            Token* column = table.columns.data() + static_cast<std::size_t>(m) * total + offsets[b];
            const Token* from = part.columns.data() + m;
            for (std::size_t k = 0; k < n; ++k)
                column[k] = from[k * static_cast<std::size_t>(order)];
        }
        std::copy(part.counts.begin(), part.counts.end(), table.counts.begin() + at);
        std::copy(part.followers.begin(), part.followers.end(), table.followers.begin() + at);
        std::copy(part.predecessors.begin(), part.predecessors.end(),
                  table.predecessors.begin() + at);
        std::copy(part.documents.begin(), part.documents.end(), table.documents.begin() + at);
        blocks[b][o] = {};
    });
    return table;
}

template <class Token, class Position>
std::vector<NgramTable<Token>> list(std::span<const Token> tokens, Index vocab_size,
                                    const NgramTableOptions& options, const Documents& documents,
                                    TokenRange range, int threads) {
    using Sweep = TableSweep<Token, Position>;
    const Sources<Token, Position> sources(tokens, vocab_size, options, documents);
    const auto segments = beginnings(sources.units, options.orders.front());
    const SuffixBlocks<Token, Position> blocks(tokens, vocab_size,
                                               SuffixOrder{options.depth(), false, -1}, range,
                                               segments, threads, sources.with_positions());
    std::vector<std::vector<NgramTable<Token>>> of_blocks(
        static_cast<std::size_t>(blocks.n_blocks()),
        std::vector<NgramTable<Token>>(options.orders.size()));
    std::deque<Sweep> sweeps;
    std::mutex mutex;
    parallel_with(
        blocks.n_blocks(), threads,
        [&] {
            const std::lock_guard<std::mutex> lock(mutex);
            return &sweeps.emplace_back(sources, blocks);
        },
        [&](Index block, Sweep* sweep) {
            sweep->add(blocks.sort(block, sweep->scratch), of_blocks[block]);
        });
    sweeps.clear();
    std::vector<NgramTable<Token>> tables;
    for (std::size_t o = 0; o < options.orders.size(); ++o) {
        tables.push_back(joined(of_blocks, o, options.orders[o], threads));
    }
    return tables;
}

}  // namespace

void check_ngram_table(Index n_tokens, const NgramTableOptions& options,
                       const Documents& documents) {
    require(!options.orders.empty(), "at least one order is needed");
    int before = 0;
    for (const int order : options.orders) {
        require(order > before, "orders must be positive, ascending and distinct");
        before = order;
    }
    require(options.depth() <= kMaxDepth, "orders must not exceed 255, or 254 with followers");
    require(options.min_count >= 1, "min_count must be at least 1");
    documents.require_length(n_tokens);
}

template <class Token>
std::vector<NgramTable<Token>> list_ngrams(std::span<const Token> tokens, Index vocab_size,
                                           const NgramTableOptions& options,
                                           const Documents& documents, TokenRange range,
                                           int threads) {
    check_ngram_table(static_cast<Index>(tokens.size()), options, documents);
    if (tokens.size() <= std::size_t{1} << 32) {
        return list<Token, std::uint32_t>(tokens, vocab_size, options, documents, range, threads);
    }
    return list<Token, std::uint64_t>(tokens, vocab_size, options, documents, range, threads);
}

template std::vector<NgramTable<std::uint16_t>> list_ngrams(std::span<const std::uint16_t>, Index,
                                                            const NgramTableOptions&,
                                                            const Documents&, TokenRange, int);
template std::vector<NgramTable<std::uint32_t>> list_ngrams(std::span<const std::uint32_t>, Index,
                                                            const NgramTableOptions&,
                                                            const Documents&, TokenRange, int);

}  // namespace ngramstat
