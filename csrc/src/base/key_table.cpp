#include "ngramstat/base/key_table.hpp"

#include <stdexcept>

namespace ngramstat {

KeyTable::KeyTable() : slots_(16, Slot{kNoKey, 0}), mask_(slots_.size() - 1) {}

std::uint32_t KeyTable::insert(std::uint64_t key) {
    if (2 * (size_ + 1) > slots_.size()) grow();
    for (std::size_t i = mix_bits(key) & mask_;; i = (i + 1) & mask_) {
        if (slots_[i].key == key) return slots_[i].number;
        if (slots_[i].key == kNoKey) {
            if (size_ + 2 >= kAbsent) throw std::overflow_error("more than 2^32 keys in a table");
            slots_[i] = {key, static_cast<std::uint32_t>(size_)};
            return static_cast<std::uint32_t>(size_++);
        }
    }
}

void KeyTable::grow() {
    decltype(slots_) old(2 * slots_.size(), Slot{kNoKey, 0});
    old.swap(slots_);
    mask_ = slots_.size() - 1;
    for (const Slot& slot : old) {
        if (slot.key == kNoKey) continue;
        std::size_t i = mix_bits(slot.key) & mask_;
        while (slots_[i].key != kNoKey) i = (i + 1) & mask_;
        slots_[i] = slot;
    }
}

}  // namespace ngramstat
