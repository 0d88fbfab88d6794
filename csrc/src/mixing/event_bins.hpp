// The events of one pass over a training stream, sorted into bins, in memory of a fixed size.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

// Each bin has two lists: events of the leave-one-out part of training, and the others. Lists are
// chains of blocks of one size. Where the memory is too small for all bins, the last ones are
// dropped: they are left to a later pass.
template <class Event>
class EventBins {
  public:
    static constexpr std::size_t kBlock = 8192 / sizeof(Event);

    // memory   for all blocks; where it does not hold the first bin alone, more is allocated
    EventBins(std::uint32_t n_bins, std::span<Event> memory)
        : n_bins_(n_bins), end_(n_bins), lists_(2 * std::size_t{n_bins}) {
        const std::size_t n_blocks = memory.size() / kBlock;
        free_.reserve(n_blocks);
        for (std::size_t k = n_blocks; k > 0; --k) {
            free_.push_back(memory.data() + (k - 1) * kBlock);
        }
    }

    // Bins from this one on were dropped. To be read when all events are written.
    std::uint32_t end() const { return end_; }

    // Events of a bin in pieces; to be called when all events are written.
    std::vector<std::span<const Event>> pieces(std::uint32_t bin, bool left_out) const {
        const List& list = lists_[index(bin, left_out)];
        std::vector<std::span<const Event>> out;
        out.reserve(list.blocks.size());
        for (Event* block : list.blocks) out.emplace_back(block, kBlock);
        if (!out.empty()) out.back() = out.back().first(list.last_size);
        return out;
    }

    // Writes events of one thread, a chunk at a time.
    class Writer {
      public:
        explicit Writer(EventBins& bins)
            : bins_(bins), chunks_(bins.lists_.size() * kChunk), next_(bins.lists_.size()) {
            for (std::size_t list = 0; list < next_.size(); ++list) next_[list] = begin(list);
        }
        void put(std::uint32_t bin, bool left_out, Event event) {
            const std::size_t list = bins_.index(bin, left_out);
            const std::uint32_t at = next_[list];
            chunks_[at] = event;
            next_[list] = at + 1;
            if ((at + 1) % kChunk == 0) flush(list, at + 1);
        }
        void finish() {
            for (std::size_t list = 0; list < next_.size(); ++list) {
                if (next_[list] > begin(list)) flush(list, next_[list]);
            }
        }

      private:
        static constexpr std::size_t kChunk = 256 / sizeof(Event);

        static std::uint32_t begin(std::size_t list) {
            return static_cast<std::uint32_t>(list * kChunk);
        }
        void flush(std::size_t list, std::uint32_t end) {
            const std::span<const Event> events(chunks_);
            bins_.append(list, events.subspan(begin(list), end - begin(list)));
            next_[list] = begin(list);
        }

        EventBins& bins_;
        std::vector<Event> chunks_;
        std::vector<std::uint32_t> next_;  // by list: where its next event goes
    };

  private:
    struct List {
        std::mutex mutex;
        std::vector<Event*> blocks;
        std::size_t last_size = kBlock;  // events in the last block

        bool is_full() const { return last_size == kBlock; }
    };

    std::size_t index(std::uint32_t bin, bool left_out) const {
        return std::size_t{left_out} * n_bins_ + bin;
    }

    void append(std::size_t number, std::span<const Event> events) {
        List& list = lists_[number];
        while (!events.empty()) {
            {
                const std::lock_guard<std::mutex> lock(list.mutex);
                if (number % n_bins_ >= end_) return;  // dropped
                if (list.is_full()) {
                    if (Event* block = take_block()) {
                        list.blocks.push_back(block);
                        list.last_size = 0;
                    }
                }
                const std::size_t n = std::min(events.size(), kBlock - list.last_size);
                if (n > 0) std::copy_n(events.data(), n, list.blocks.back() + list.last_size);
                list.last_size += n;
                events = events.subspan(n);
                if (n > 0) continue;
            }
            make_room();
        }
    }

    Event* take_block() {
        const std::lock_guard<std::mutex> lock(free_mutex_);
        if (free_.empty()) return nullptr;
        Event* block = free_.back();
        free_.pop_back();
        return block;
    }
    bool has_room() {
        const std::lock_guard<std::mutex> lock(free_mutex_);
        return !free_.empty();
    }

    // Drops bins until there is a free block, or allocates one where only one bin is left.
    void make_room() {
        const std::lock_guard<std::mutex> room_lock(room_mutex_);
        while (!has_room()) {
            const std::uint32_t end = end_;
            if (end == 1) {
                more_.push_back(std::make_unique<Event[]>(kBlock));
                const std::lock_guard<std::mutex> lock(free_mutex_);
                free_.push_back(more_.back().get());
                return;
            }
            const std::uint32_t new_end = end - std::max(1u, end / 16);
            end_ = new_end;
            for (std::uint32_t bin = new_end; bin < end; ++bin) {
                for (const bool left_out : {false, true}) drop(lists_[index(bin, left_out)]);
            }
        }
    }
    void drop(List& list) {
        const std::lock_guard<std::mutex> lock(list.mutex);
        const std::lock_guard<std::mutex> free_lock(free_mutex_);
        free_.insert(free_.end(), list.blocks.begin(), list.blocks.end());
        list.blocks.clear();
        list.last_size = kBlock;
    }

    std::uint32_t n_bins_;
    std::atomic<std::uint32_t> end_;
    std::vector<List> lists_;
    std::mutex room_mutex_, free_mutex_;
    std::vector<Event*> free_;
    std::vector<std::unique_ptr<Event[]>> more_;
};

}  // namespace ngramstat
