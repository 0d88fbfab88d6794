// The twin of mixing/context_counts.hpp: what follows the contexts of one pattern, counted on a
// GPU.
//
// An event is a number: its context, its token, its continuation token and whether it is left out.
// Sorted, the events of a follower are neighbours, those of one continuation token in it, too, and
// all counts are differences of running sums between the beginnings of two followers.
#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "ngramstat/base/error.hpp"
#include "ngramstat/gpu/executor.hpp"
#include "ngramstat/gpu/gpu.hpp"
#include "ngramstat/gpu/suffix_sort.hpp"
#include "ngramstat/gpu/tokens.hpp"
#include "ngramstat/mixing/context_keys.hpp"
#include "ngramstat/mixing/follower_counts.hpp"

namespace ngramstat::gpu {

// Reads events and their contexts as ContextBlock does.
template <class Token>
struct ContextReader {
    const Token* tokens;
    Index first_event;
    Index vocab_size, n_symbols, stop_token;
    int longest, n_offsets, bits;
    bool exact;
    int offsets[kMaxOffset], bits_of[kMaxOffset];
    const std::uint32_t* maps[kMaxOffset];  // null: the token itself

    // Whether a token can be predicted and its context is not cut off.
    NGRAMSTAT_HD bool is_event(Index i) const {
        if (i < first_event || i < longest) return false;
        if (stop_token < 0) return true;
        const Index first = stop_token < vocab_size ? 1 : 0, end = longest > 1 ? longest : 1;
        for (Index d = first; d < end && d <= i; ++d) {
            if (static_cast<Index>(tokens[i - d]) == stop_token) return false;
        }
        return true;
    }
    NGRAMSTAT_HD std::uint64_t hash(Index i) const {
        std::uint64_t hash = 0;
        for (int j = 0; j < n_offsets; ++j) {
            const std::uint64_t token = tokens[i - offsets[j]];
            const std::uint64_t symbol = maps[j] == nullptr ? token : maps[j][token];
            hash = exact ? hash << bits_of[j] | symbol : mixed(hash + symbol + kContextMultiplier);
        }
        if (!exact || bits == 0) return hash;
        const int fold = (bits + 1) / 2;
        return ((hash ^ hash >> fold) << (64 - bits)) * kContextMultiplier;
    }
    // The token at an offset before, or n_symbols where a stop token or the beginning is nearer.
    NGRAMSTAT_HD std::uint64_t continuation(Index i, Index offset) const {
        if (i < offset) return static_cast<std::uint64_t>(n_symbols);
        for (Index d = 1; d < offset && stop_token >= 0; ++d) {
            if (static_cast<Index>(tokens[i - d]) == stop_token) {
                return static_cast<std::uint64_t>(n_symbols);
            }
        }
        return tokens[i - offset];
    }
    // ngramstat::mix_bits.
    NGRAMSTAT_HD static std::uint64_t mixed(std::uint64_t key) {
        key ^= key >> 33;
        key *= 0xff51afd7ed558ccdULL;
        key ^= key >> 33;
        key *= 0xc4ceb9fe1a85ec53ULL;
        return key ^ key >> 33;
    }
};

// Contexts by their hashes. Those that begin with the same bits are neighbours.
struct ContextTable {
    const std::uint64_t* hashes;  // ascending
    const std::uint32_t* begins;  // by bucket, and the end
    int bucket_bits;

    // The number of a context, or -1.
    NGRAMSTAT_HD Index find(std::uint64_t hash) const {
        const std::uint64_t bucket = bucket_bits == 0 ? 0 : hash >> (64 - bucket_bits);
        const Index begin = begins[bucket], n = static_cast<Index>(begins[bucket + 1]) - begin;
        const Index at = first_not_below(hashes + begin, n, hash);
        return at < n && hashes[begin + at] == hash ? begin + at : -1;
    }
};

struct BeginsOfBuckets {
    const std::uint64_t* hashes;
    Index n;
    int bucket_bits;
    std::uint32_t* begins;

    NGRAMSTAT_HD void operator()(Index bucket) const {
        const bool is_end = bucket == Index{1} << bucket_bits;
        const std::uint64_t first =
            bucket_bits == 0 ? 0 : static_cast<std::uint64_t>(bucket) << (64 - bucket_bits);
        begins[bucket] = static_cast<std::uint32_t>(is_end ? n : first_not_below(hashes, n, first));
    }
};

// Calls work(position, context) for the known events among 64 positions.
template <class Token, class Work>
NGRAMSTAT_HD void for_known(const ContextReader<Token>& reader, const ContextTable& contexts,
                            const std::uint64_t* candidates, Index n, Index word, Work&& work) {
    const std::uint64_t open = candidates == nullptr ? ~std::uint64_t{0} : candidates[word];
    for (Index bit = 0; bit < 64 && 64 * word + bit < n; ++bit) {
        const Index i = 64 * word + bit;
        if ((open >> bit & 1) == 0 || !reader.is_event(i)) continue;
        const Index context = contexts.find(reader.hash(i));
        if (context >= 0) work(i, context);
    }
}

// Marks the events whose context is known, and counts them by groups of contexts.
template <class Token>
struct FindKnown {
    ContextReader<Token> reader;
    ContextTable contexts;
    const std::uint64_t* candidates;
    Index n;
    int group_bits;
    std::uint64_t* known;
    std::uint64_t* groups;

    NGRAMSTAT_HD void operator()(Index word) const {
        std::uint64_t bits = 0, events = 0;
        Index group = 0;
        for_known(reader, contexts, candidates, n, word, [&](Index i, Index context) {
            bits |= std::uint64_t{1} << (i & 63);
            // Neighbours often have a group in common: fewer atomic additions.
            if (context >> group_bits != group && events > 0) {
                add(&groups[group], events);
                events = 0;
            }
            group = context >> group_bits;
            ++events;
        });
        if (events > 0) add(&groups[group], events);
        known[word] = bits;
    }
};

// The known events of a range of contexts: their number by word, then the events.
template <class Token>
struct WriteEvents {
    ContextReader<Token> reader;
    ContextTable contexts;
    const std::uint64_t* known;
    Index n, first_context, last_context, first_left_out;
    int continuation_offset, token_bits, continuation_bits;
    std::uint64_t* starts;  // by word: the number of its events; with `events`, where they begin
    std::uint64_t* events;  // null: they are only counted

    NGRAMSTAT_HD void operator()(Index word) const {
        std::uint64_t at = events == nullptr ? 0 : starts[word];
        for_known(reader, contexts, known, n, word, [&](Index i, Index context) {
            if (context < first_context || context >= last_context) return;
            if (events != nullptr) events[at] = event(i, context - first_context);
            ++at;
        });
        if (events == nullptr) starts[word] = at;
    }
    NGRAMSTAT_HD std::uint64_t event(Index i, Index context) const {
        std::uint64_t event = static_cast<std::uint64_t>(context) << token_bits |
                              static_cast<std::uint64_t>(reader.tokens[i]);
        event <<= continuation_bits;
        if (continuation_bits > 0) event |= reader.continuation(i, continuation_offset);
        return event << 1 | (i >= first_left_out ? 1 : 0);
    }
};

// What each of the sorted events adds to the counts, and a 0 after the last.
struct MarkEvents {
    const std::uint64_t* events;
    Index n;
    int continuation_bits;
    std::uint64_t no_continuation;
    std::uint32_t *heads, *left_out;           // of followers; left out
    std::uint32_t *different, *different_out;  // the same of continuation tokens; null without

    NGRAMSTAT_HD void operator()(Index k) const {
        if (k == n) {
            heads[k] = left_out[k] = 0;
            if (different != nullptr) different[k] = different_out[k] = 0;
            return;
        }
        const std::uint64_t event = events[k], before = k > 0 ? events[k - 1] : ~event;
        heads[k] = event >> (continuation_bits + 1) != before >> (continuation_bits + 1) ? 1 : 0;
        left_out[k] = static_cast<std::uint32_t>(event & 1);
        if (different == nullptr) return;
        const std::uint64_t mask = (std::uint64_t{1} << continuation_bits) - 1;
        // Where there is no continuation token every occurrence counts. Of the events of another
        // one those left out come last: if the first is, all are.
        const bool counts = event >> 1 != before >> 1 || (event >> 1 & mask) == no_continuation;
        different[k] = counts ? 1 : 0;
        different_out[k] = counts ? left_out[k] : 0;
    }
};

// Counts of the followers from running sums of what MarkEvents wrote.
struct CountFollowers {
    const std::uint64_t* events;
    const std::uint32_t* starts;  // of followers, and the end
    const std::uint32_t *left_out, *different, *different_out;
    int token_bits, continuation_bits;
    std::uint32_t *contexts, *tokens, *counts, *counts_out, *continuations, *continuations_out;

    NGRAMSTAT_HD void operator()(Index f) const {
        const std::uint32_t first = starts[f], last = starts[f + 1];
        const std::uint64_t follower = events[first] >> (continuation_bits + 1);
        contexts[f] = static_cast<std::uint32_t>(follower >> token_bits);
        tokens[f] = static_cast<std::uint32_t>(follower & ((std::uint64_t{1} << token_bits) - 1));
        counts[f] = last - first;
        counts_out[f] = left_out[last] - left_out[first];
        if (different == nullptr) return;
        continuations[f] = different[last] - different[first];
        continuations_out[f] = different_out[last] - different_out[first];
    }
};

template <class Executor, class Token>
class FollowersCounterOn : public FollowersCounter {
  public:
    FollowersCounterOn(Executor& on, const Stream<Token>& training, const Vocabulary& vocabulary)
        : on_(on), vocabulary_(vocabulary), n_(training.size), windows_(on, training, 1.0) {
        const Index bytes = n_ * static_cast<Index>(sizeof(Token));
        if (!windows_.is_whole()) {
            throw DeviceMemoryError(static_cast<std::size_t>(bytes), on.available(), on.limit());
        }
        count_tokens(on, windows_, training, vocabulary.n_symbols());
    }
    // The tokens that kernels read may be the caller's.
    ~FollowersCounterOn() override { on_.synchronize(); }

    FollowerTable count(const ContextKeys& keys, std::span<const std::uint64_t> hashes,
                        const Counting& counting, std::span<const std::uint64_t> candidates,
                        std::span<std::uint64_t> known) override {
        const auto active = on_.activate();
        const Index n_words = (n_ + 63) / 64;
        require(candidates.empty() || static_cast<Index>(candidates.size()) == n_words,
                "candidates must have a bit per token");
        require(known.empty() || static_cast<Index>(known.size()) == n_words,
                "known must have a bit per token");
        Search search(on_, reader(keys, counting), hashes, candidates, n_words);
        const std::vector<Index> groups = find_known(search, static_cast<Index>(hashes.size()));
        on_.download(known.data(), search.known.data(), static_cast<Index>(known.size()));
        FollowerTable table;
        table.begins.assign(hashes.size() + 1, 0);
        const Index budget =
            std::max<Index>(1, static_cast<Index>(on_.available()) / kBytesOfEvent);
        for_ranges_that_fit(
            groups, {0, static_cast<Index>(groups.size())}, std::min(budget, kMostEvents),
            [&](TokenRange range) {
                const Index last = std::min<Index>(range.last << search.group_bits,
                                                   static_cast<Index>(hashes.size()));
                add(search, counting, {range.first << search.group_bits, last}, table);
            });
        for (std::size_t c = 0; c + 1 < table.begins.size(); ++c) {
            table.begins[c + 1] += table.begins[c];
        }
        return table;
    }

  private:
    // Two arrays of events, four of sums, a start, and what a follower has, of which there may be
    // as many as events.
    static constexpr Index kBytesOfEvent = 16 + 16 + 4 + 24 + 8;
    // Sums are of 32 bits.
    static constexpr Index kMostEvents = Index{1} << 31;
    static constexpr int kGroupBits = 16;  // at most 2^16 groups of contexts

    // What all ranges of contexts share.
    struct Search {
        std::vector<Buffer<std::uint32_t>> maps;
        ContextReader<Token> reader;
        Buffer<std::uint64_t> hashes, candidates, known, starts;
        Buffer<std::uint32_t> begins;
        ContextTable contexts{};
        Index n_words;
        int group_bits = 0;

        Search(Executor& on, std::pair<ContextReader<Token>, std::vector<Buffer<std::uint32_t>>> of,
               std::span<const std::uint64_t> sought, std::span<const std::uint64_t> open,
               Index words)
            : maps(std::move(of.second)),
              reader(of.first),
              hashes(to_device(on, sought)),
              candidates(to_device(on, open)),
              known(on, words),
              starts(on, words + 1),
              n_words(words) {
            const Index n = hashes.size();
            const int log_size = bit_width(sought.size());
            const int bucket_bits = std::clamp(log_size - 2, 0, 24);
            begins = Buffer<std::uint32_t>(on, (Index{1} << bucket_bits) + 1);
            on.for_each(begins.size(),
                        BeginsOfBuckets{hashes.data(), n, bucket_bits, begins.data()});
            contexts = {hashes.data(), begins.data(), bucket_bits};
            group_bits = std::max(0, log_size - kGroupBits);
        }
    };

    std::pair<ContextReader<Token>, std::vector<Buffer<std::uint32_t>>> reader(
        const ContextKeys& keys, const Counting& counting) {
        const auto offsets = keys.offsets();
        require(offsets.size() <= kMaxOffset, "a pattern has 16 tokens at most");
        ContextReader<Token> reader{};
        reader.tokens = windows_.whole();
        reader.first_event = counting.first_event;
        reader.vocab_size = vocabulary_.size;
        reader.n_symbols = vocabulary_.n_symbols();
        reader.stop_token = vocabulary_.stop_token;
        reader.longest = static_cast<int>(keys.longest_offset());
        reader.n_offsets = static_cast<int>(offsets.size());
        reader.bits = keys.bits();
        reader.exact = keys.exact();
        std::vector<Buffer<std::uint32_t>> maps;
        for (std::size_t j = 0; j < offsets.size(); ++j) {
            reader.offsets[j] = offsets[j];
            reader.bits_of[j] = keys.bits_of(j);
            if (keys.map_of(j).empty()) continue;
            maps.push_back(to_device(on_, keys.map_of(j)));
            reader.maps[j] = maps.back().data();
        }
        return {reader, std::move(maps)};
    }

    // Events by group of contexts.
    std::vector<Index> find_known(Search& search, Index n_contexts) {
        const Index n_groups = (n_contexts >> search.group_bits) + 1;
        Buffer<std::uint64_t> groups(on_, n_groups);
        on_.clear(groups.data(), n_groups);
        on_.for_each(search.n_words,
                     FindKnown<Token>{search.reader, search.contexts, candidates(search), n_,
                                      search.group_bits, search.known.data(), groups.data()});
        std::vector<std::uint64_t> host(static_cast<std::size_t>(n_groups));
        on_.download(host.data(), groups.data(), n_groups);
        return {host.begin(), host.end()};
    }
    static const std::uint64_t* candidates(const Search& search) {
        return search.candidates.size() == 0 ? nullptr : search.candidates.data();
    }

    // Adds the followers of a range of contexts; `begins` of the table are numbers of followers.
    void add(Search& search, const Counting& counting, TokenRange contexts, FollowerTable& table) {
        if (contexts.size() <= 0) return;
        WriteEvents<Token> writer{search.reader,
                                  search.contexts,
                                  search.known.data(),
                                  n_,
                                  contexts.first,
                                  contexts.last,
                                  counting.first_leave_one_out,
                                  counting.continuation_offset,
                                  bits_below(static_cast<std::uint64_t>(vocabulary_.size)),
                                  0,
                                  search.starts.data(),
                                  nullptr};
        if (counting.continuation_offset > 0) {
            writer.continuation_bits =
                bits_below(static_cast<std::uint64_t>(vocabulary_.n_symbols()) + 1);
        }
        const int bits = bits_below(static_cast<std::uint64_t>(contexts.size())) +
                         writer.token_bits + writer.continuation_bits + 1;
        require(bits < 64, "the vocabulary is too large for the counts of this pattern");
        on_.clear(search.starts.data(), search.n_words + 1);
        on_.for_each(search.n_words, writer);
        on_.exclusive_sum(search.starts.data(), search.n_words + 1);
        std::uint64_t n_events = 0;
        on_.download(&n_events, search.starts.data() + search.n_words, 1);
        if (n_events == 0) return;
        const Index n = static_cast<Index>(n_events);
        Buffer<std::uint64_t> events(on_, n);
        {
            Buffer<std::uint64_t> other(on_, n);
            writer.events = events.data();
            on_.for_each(search.n_words, writer);
            on_.sort_keys(events, other, n, bits);
        }
        count_sorted(events, writer, contexts, table);
    }

    void count_sorted(const Buffer<std::uint64_t>& events, const WriteEvents<Token>& writer,
                      TokenRange contexts, FollowerTable& table) {
        const Index n = events.size();
        const bool continues = writer.continuation_bits > 0;
        Buffer<std::uint32_t> heads(on_, n + 1), left_out(on_, n + 1), starts(on_, n + 1);
        Buffer<std::uint32_t> different(on_, continues ? n + 1 : 0);
        Buffer<std::uint32_t> different_out(on_, different.size());
        on_.for_each(n + 1,
                     MarkEvents{events.data(), n, writer.continuation_bits,
                                static_cast<std::uint64_t>(vocabulary_.n_symbols()), heads.data(),
                                left_out.data(), different.data(), different_out.data()});
        for (auto* sums : {&heads, &left_out, &different, &different_out}) {
            on_.exclusive_sum(sums->data(), sums->size());
        }
        on_.for_each(n + 1, StartsOfRuns{heads.data(), n, starts.data()});
        std::uint32_t n_followers = 0;
        on_.download(&n_followers, heads.data() + n, 1);
        std::array<Buffer<std::uint32_t>, 6> columns;
        for (std::size_t c = 0; c < (continues ? 6u : 4u); ++c) {
            columns[c] = Buffer<std::uint32_t>(on_, n_followers);
        }
        on_.for_each(
            n_followers,
            CountFollowers{events.data(), starts.data(), left_out.data(), different.data(),
                           different_out.data(), writer.token_bits, writer.continuation_bits,
                           columns[0].data(), columns[1].data(), columns[2].data(),
                           columns[3].data(), columns[4].data(), columns[5].data()});
        // Nothing has been added to the table where memory does not suffice.
        std::vector<std::uint32_t> of_followers(n_followers);
        on_.download(of_followers.data(), columns[0].data(), n_followers);
        for (const std::uint32_t context : of_followers) {
            ++table.begins[static_cast<std::size_t>(contexts.first + context) + 1];
        }
        append(columns[1], table.tokens);
        append(columns[2], table.counts);
        append(columns[3], table.left_out);
        append(columns[4], table.continuation_counts);
        append(columns[5], table.continuation_left_out);
    }

    void append(const Buffer<std::uint32_t>& values, std::vector<std::uint32_t>& to) const {
        const std::size_t size = to.size();
        to.resize(size + static_cast<std::size_t>(values.size()));
        on_.download(to.data() + size, values.data(), values.size());
    }

    Executor& on_;
    Vocabulary vocabulary_;
    Index n_;
    Windows<Executor, Token> windows_;
};

}  // namespace ngramstat::gpu
