// The events of one pass over a training stream, sorted into bins, in memory of a fixed size.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "ngramstat/base/types.hpp"

namespace ngramstat {

// Each bin has two lists: events of the leave-one-out part of training, and the others. Lists are
// of blocks of one size, each written by one thread. Where the memory is too small for all bins,
// the last ones are dropped: they are left to a later pass.
template <class Event>
class EventBins {
    struct Block {
        Event* events = nullptr;
        std::size_t size = 0;
    };

  public:
    // memory     for all blocks; where it does not hold the first bin alone, more is allocated
    // n_writers  that write at a time, each with a block of every list
    EventBins(std::uint32_t n_bins, std::span<Event> memory, int n_writers)
        : n_bins_(n_bins), end_(n_bins), lists_(2 * std::size_t{n_bins}) {
        const std::size_t open = lists_.size() * static_cast<std::size_t>(n_writers);
        block_ = std::clamp(std::bit_floor(memory.size() / (kMaxOpen * open)), kChunk, kLargest);
        const std::size_t n_blocks = memory.size() / block_;
        free_.reserve(n_blocks);
        for (std::size_t k = n_blocks; k > 0; --k) {
            free_.push_back(memory.data() + (k - 1) * block_);
        }
    }

    // Bins from this one on were dropped. To be read when all writers have finished.
    std::uint32_t end() const { return end_; }

    // Words of memory that hold n events, of 4 or 8 bytes, whatever their bins.
    static std::size_t words(std::size_t n, std::uint32_t n_bins, int n_writers) {
        const std::size_t open = 2 * std::size_t{n_bins} * static_cast<std::size_t>(n_writers);
        return n + n / (kMaxOpen - 1) + open * kChunk;
    }

    // Events of a bin in pieces; to be called when all writers have finished.
    std::vector<std::span<const Event>> pieces(std::uint32_t bin, bool left_out) const {
        const List& list = lists_[index(bin, left_out)];
        std::vector<std::span<const Event>> out;
        out.reserve(list.blocks.size());
        for (const Block& block : list.blocks) out.emplace_back(block.events, block.size);
        return out;
    }

    // Writes events of one thread, a chunk at a time.
    class Writer {
      public:
        explicit Writer(EventBins& bins)
            : bins_(bins),
              chunks_(bins.lists_.size() * kChunk),
              next_(bins.lists_.size()),
              open_(bins.lists_.size()) {
            for (std::size_t list = 0; list < next_.size(); ++list) next_[list] = begin(list);
        }
        void put(std::uint32_t bin, bool left_out, Event event) {
            const std::size_t list = bins_.index(bin, left_out);
            const std::uint32_t at = next_[list];
            chunks_[at] = event;
            next_[list] = at + 1;
            if ((at + 1) % kChunk == 0) flush(list, at + 1);
        }
        // To be called once, after the last event.
        void finish() {
            for (std::size_t list = 0; list < next_.size(); ++list) {
                if (next_[list] > begin(list)) flush(list, next_[list]);
                if (open_[list].events != nullptr) bins_.add(list, open_[list]);
            }
        }

      private:
        static std::uint32_t begin(std::size_t list) {
            return static_cast<std::uint32_t>(list * kChunk);
        }
        // Blocks hold whole chunks, of which the last one of a writer alone may be shorter.
        void flush(std::size_t list, std::uint32_t end) {
            next_[list] = begin(list);
            Block& block = open_[list];
            if (block.events == nullptr) block = {bins_.take_block(list), 0};
            if (block.events == nullptr) return;  // the bin was dropped
            const std::size_t n = end - begin(list);
            std::copy_n(chunks_.data() + begin(list), n, block.events + block.size);
            block.size += n;
            if (block.size == bins_.block_) bins_.add(list, std::exchange(block, {}));
        }

        EventBins& bins_;
        std::vector<Event> chunks_;
        std::vector<std::uint32_t> next_;  // by list: where its next event goes
        std::vector<Block> open_;          // by list
    };

  private:
    static constexpr std::size_t kChunk = 256 / sizeof(Event);
    static constexpr std::size_t kLargest = 8192 / sizeof(Event);
    // Blocks that are being written take at most this part of the memory.
    static constexpr std::size_t kMaxOpen = 16;

    struct List {
        std::mutex mutex;
        std::vector<Block> blocks;
    };

    std::size_t index(std::uint32_t bin, bool left_out) const {
        return std::size_t{left_out} * n_bins_ + bin;
    }
    bool is_dropped(std::size_t list) const { return list % n_bins_ >= end_; }

    // A block to write events of a list to; none if its bin was dropped.
    Event* take_block(std::size_t list) {
        while (!is_dropped(list)) {
            {
                const std::lock_guard<std::mutex> lock(free_mutex_);
                if (!free_.empty()) {
                    Event* block = free_.back();
                    free_.pop_back();
                    return block;
                }
            }
            make_room();
        }
        return nullptr;
    }

    // Adds a block with events to its list.
    void add(std::size_t number, const Block& block) {
        List& list = lists_[number];
        const std::lock_guard<std::mutex> lock(list.mutex);
        if (!is_dropped(number)) {
            list.blocks.push_back(block);
            return;
        }
        const std::lock_guard<std::mutex> free_lock(free_mutex_);
        free_.push_back(block.events);
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
                more_.push_back(std::make_unique<Event[]>(block_));
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
        for (const Block& block : list.blocks) free_.push_back(block.events);
        list.blocks.clear();
    }

    std::uint32_t n_bins_;
    std::size_t block_;  // events of a block
    std::atomic<std::uint32_t> end_;
    std::vector<List> lists_;
    std::mutex room_mutex_, free_mutex_;
    std::vector<Event*> free_;
    std::vector<std::unique_ptr<Event[]>> more_;
};

}  // namespace ngramstat
