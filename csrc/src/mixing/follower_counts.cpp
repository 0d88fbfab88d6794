#include "ngramstat/mixing/follower_counts.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace ngramstat {

namespace {

void check_count(Count count) {
    if (count > std::numeric_limits<std::uint32_t>::max()) {
        throw std::overflow_error("a token follows a context more than 2^32 - 1 times");
    }
}

std::uint32_t to_count(Count count) {
    check_count(count);
    return static_cast<std::uint32_t>(count);
}

}  // namespace

template <class Event>
FollowerCounter<Event>::FollowerCounter(const EventLayout& layout, Index vocab_size,
                                        std::size_t n_contexts)
    : layout_(layout),
      n_contexts_(n_contexts),
      token_mask_(static_cast<Event>((std::uint64_t{1} << layout.token_bits) - 1)),
      tokens_(static_cast<std::size_t>(vocab_size)),
      followers_(static_cast<std::size_t>(vocab_size)) {
    if (layout.has_continuation()) {
        last_pair_.assign(static_cast<std::size_t>(layout.no_continuation) + 1, 0);
    }
}

// Counting sort; of each context the events of the leave-one-out part come last.
template <class Event>
void FollowerCounter<Event>::group_by_context(const Pieces& events, const Pieces& left_out) {
    begins_.assign(2 * n_contexts_ + 1, 0);
    std::size_t size = 0;
    std::uint32_t* begins = begins_.data();
    const auto count = [&](const Pieces& pieces, std::size_t part) {
        for (const auto piece : pieces) {
            size += piece.size();
            for (const Event event : piece) ++begins[2 * context_of(event) + part + 1];
        }
    };
    count(events, 0);
    count(left_out, 1);
    for (std::size_t k = 0; k < 2 * n_contexts_; ++k) begins_[k + 1] += begins_[k];
    events_.resize(std::max(events_.size(), size));
    Event* grouped = events_.data();
    const auto place = [&](const Pieces& pieces, std::size_t part) {
        for (const auto piece : pieces) {
            for (const Event event : piece) {
                grouped[begins[2 * context_of(event) + part]++] = event;
            }
        }
    };
    place(events, 0);
    place(left_out, 1);
    // Each begin has become the next one.
    std::copy_backward(begins_.begin(), begins_.end() - 1, begins_.end());
    begins_[0] = 0;
}

template <class Event>
ContextFollowers FollowerCounter<Event>::count(const Pieces& events, const Pieces& left_out) {
    group_by_context(events, left_out);
    const std::size_t size = begins_.back();
    out_.begins.resize(n_contexts_ + 1);
    if (size + 1 > out_.tokens.size()) {
        for (auto* counts : {&out_.tokens, &out_.counts}) counts->resize(size + 1);
        if (layout_.has_continuation()) {
            for (auto* values : {&out_.continuation_counts, &continuations_, &n_different_}) {
                values->resize(size + 1);
            }
            is_first_.resize(size + 1, 0);
        }
    }
    out_.left_out.clear();
    n_out_ = 0;
    for (std::size_t context = 0; context < n_contexts_; ++context) {
        out_.begins[context] = static_cast<std::uint32_t>(n_out_);
        count_context(begins_[2 * context], begins_[2 * context + 1], begins_[2 * context + 2]);
    }
    out_.begins[n_contexts_] = static_cast<std::uint32_t>(n_out_);
    const auto copy = [&](const std::vector<std::uint32_t>& from) {
        const auto size_out = static_cast<std::ptrdiff_t>(from.empty() ? 0 : n_out_);
        return std::vector<std::uint32_t>(from.begin(), from.begin() + size_out);
    };
    return {out_.begins, copy(out_.tokens), copy(out_.counts), copy(out_.continuation_counts),
            out_.left_out};
}

// Counts the events [first, last) of one context, of which those from `middle` on are in the
// leave-one-out part. Loops run over events or tokens of the context, never over those of a pair of
// both: their ends could not be predicted.
template <class Event>
void FollowerCounter<Event>::count_context(std::size_t first, std::size_t middle,
                                           std::size_t last) {
    const Event* events = events_.data();
    Token* tokens = tokens_.data();
    std::uint32_t* seen = out_.tokens.data() + n_out_;
    std::size_t n_seen = 0;
    for (std::size_t k = first; k < last; ++k) {
        const std::uint32_t token = token_of(events[k]);
        seen[n_seen] = token;
        n_seen += tokens[token].count++ == 0;
    }
    sort_ids({seen, n_seen}, followers_);
    if (layout_.has_continuation()) {
        group_by_token(first, last, n_seen);
        find_different(last - first);
    }
    std::uint32_t* counts = out_.counts.data() + n_out_;
    for (std::size_t j = 0; j < n_seen; ++j) counts[j] = tokens[seen[j]].count;
    if (layout_.has_continuation()) {
        std::uint32_t* continuation_counts = out_.continuation_counts.data() + n_out_;
        std::uint32_t begin = 0;
        for (std::size_t j = 0; j < n_seen; ++j) {
            const std::uint32_t end = begin + counts[j];
            continuation_counts[j] = n_different_[end] - n_different_[begin];
            begin = end;
        }
    }
    if (middle < last) count_left_out(middle, last, n_seen);
    for (std::size_t j = 0; j < n_seen; ++j) tokens[seen[j]] = {};
    n_out_ += n_seen;
}

// Leaving out removes a continuation token if it removes all of its occurrences, which come last.
template <class Event>
void FollowerCounter<Event>::count_left_out(std::size_t middle, std::size_t last,
                                            std::size_t n_seen) {
    for (std::size_t k = middle; k < last; ++k) ++tokens_[token_of(events_[k])].count_left_out;
    std::uint32_t end = 0;
    for (std::size_t k = n_out_; k < n_out_ + n_seen; ++k) {
        end += out_.counts[k];
        const std::uint32_t left_out = tokens_[out_.tokens[k]].count_left_out;
        if (left_out == 0) continue;
        const std::uint32_t different =
            layout_.has_continuation() ? n_different_[end] - n_different_[end - left_out] : 0;
        out_.left_out.push_back({static_cast<std::uint32_t>(k), left_out, different});
    }
}

// The continuation tokens of one context, token after token, ascending;
// of each token those of the leave-one-out part come last.
template <class Event>
void FollowerCounter<Event>::group_by_token(std::size_t first, std::size_t last,
                                            std::size_t n_seen) {
    Token* tokens = tokens_.data();
    const std::uint32_t* seen = out_.tokens.data() + n_out_;
    std::uint32_t begin = 0;
    for (std::size_t j = 0; j < n_seen; ++j) {
        Token& token = tokens[seen[j]];
        token.next = begin;
        is_first_[begin] = 1;
        begin += token.count;
    }
    const Event mask = static_cast<Event>((std::uint64_t{1} << layout_.continuation_bits) - 1);
    const Event* events = events_.data();
    std::uint32_t* continuations = continuations_.data();
    for (std::size_t k = first; k < last; ++k) {
        continuations[tokens[token_of(events[k])].next++] =
            static_cast<std::uint32_t>(events[k] & mask);
    }
}

// How many of the first k continuation tokens differ from those before them with the same (context,
// token); where there is none, every occurrence counts.
template <class Event>
void FollowerCounter<Event>::find_different(std::size_t size) {
    if (size > std::numeric_limits<std::uint32_t>::max() - pair_) {
        std::fill(last_pair_.begin(), last_pair_.end(), 0u);
        pair_ = 0;
    }
    std::uint32_t n = 0, pair = pair_;
    std::uint32_t* last_pair = last_pair_.data();
    std::uint32_t* n_different = n_different_.data();
    std::uint8_t* is_first = is_first_.data();
    const std::uint32_t* continuations = continuations_.data();
    const std::uint32_t no_continuation = layout_.no_continuation;
    for (std::size_t k = 0; k < size; ++k) {
        pair += is_first[k];
        is_first[k] = 0;
        const std::uint32_t continuation = continuations[k];
        n_different[k] = n;
        n += (last_pair[continuation] != pair) | (continuation == no_continuation);
        last_pair[continuation] = pair;
    }
    n_different[size] = n;
    pair_ = pair;
}

template class FollowerCounter<std::uint32_t>;
template class FollowerCounter<std::uint64_t>;

ContextFollowers sum_followers(std::span<const ContextFollowers> parts, std::size_t n_contexts,
                               Index vocab_size) {
    struct Sums {
        Count count = 0, continuation = 0, left_out = 0, continuation_left_out = 0;
    };
    std::vector<Sums> sums(static_cast<std::size_t>(vocab_size));
    std::vector<std::uint32_t> seen;
    IdSet seen_ids(static_cast<std::size_t>(vocab_size));
    std::vector<std::size_t> next_left_out(parts.size(), 0);
    ContextFollowers out;
    out.begins.push_back(0);
    for (std::size_t context = 0; context < n_contexts; ++context) {
        seen.clear();
        for (std::size_t p = 0; p < parts.size(); ++p) {
            const ContextFollowers& part = parts[p];
            for (std::size_t k = part.first(context); k < part.last(context); ++k) {
                Sums& of_token = sums[part.tokens[k]];
                if (of_token.count == 0) seen.push_back(part.tokens[k]);
                of_token.count += part.counts[k];
                if (!part.continuation_counts.empty()) {
                    of_token.continuation += part.continuation_counts[k];
                }
            }
            for (std::size_t& k = next_left_out[p];
                 k < part.left_out.size() && part.left_out[k].follower < part.last(context); ++k) {
                Sums& of_token = sums[part.tokens[part.left_out[k].follower]];
                of_token.left_out += part.left_out[k].count;
                of_token.continuation_left_out += part.left_out[k].continuation_count;
            }
        }
        sort_ids(seen, seen_ids);
        for (const std::uint32_t token : seen) {
            Sums& of_token = sums[token];
            if (of_token.left_out > 0) {
                out.left_out.push_back({to_count(out.tokens.size()), to_count(of_token.left_out),
                                        to_count(of_token.continuation_left_out)});
            }
            out.tokens.push_back(token);
            out.counts.push_back(to_count(of_token.count));
            if (of_token.continuation > 0) {
                out.continuation_counts.push_back(to_count(of_token.continuation));
            }
            of_token = {};
        }
        out.begins.push_back(to_count(out.tokens.size()));
    }
    return out;
}

}  // namespace ngramstat
