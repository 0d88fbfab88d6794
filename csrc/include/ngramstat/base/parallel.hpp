// A blocked parallel-for. No thread outlives a call, so a process may fork between calls.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "ngramstat/base/page_cache.hpp"
#include "ngramstat/base/types.hpp"

namespace ngramstat {

// Calls body(task, state) once for every task in [0, n_tasks), tasks handed out in order to
// `threads` workers, each of which makes a state of its own: memory that is reused from task to
// task. Which worker runs a task is not fixed, so a body writes only to what its task owns (or adds
// integers); results then do not depend on `threads`. The exception of the lowest failing task is
// rethrown, after all workers have stopped.
template <class MakeState, class Body>
void parallel_with(Index n_tasks, int threads, MakeState&& make_state, Body&& body) {
    const int workers = static_cast<int>(std::min<Index>(std::max(threads, 1), n_tasks));
    if (workers <= 1) {
        if (n_tasks <= 0) return;
        auto state = make_state();
        for (Index task = 0; task < n_tasks; ++task) {
            body(task, state);
            release_pages_if_needed();
        }
        return;
    }
    std::atomic<Index> next{0};
    std::mutex mutex;
    std::exception_ptr error;
    Index error_task = n_tasks;
    auto work = [&] {
        Index task = 0;
        try {
            auto state = make_state();
            while ((task = next.fetch_add(1)) < n_tasks) {
                body(task, state);
                release_pages_if_needed();
            }
        } catch (...) {
            next.store(n_tasks);  // later tasks are pointless; earlier ones still finish
            const std::lock_guard<std::mutex> lock(mutex);
            if (task < error_task) {
                error_task = task;
                error = std::current_exception();
            }
        }
    };
    std::vector<std::thread> pool;
    pool.reserve(static_cast<std::size_t>(workers) - 1);
    try {
        for (int i = 1; i < workers; ++i) pool.emplace_back(work);
    } catch (...) {  // NOLINT(bugprone-empty-catch)
        // The system refused more threads: the ones that started do all the work.
    }
    work();
    for (auto& thread : pool) thread.join();
    if (error) std::rethrow_exception(error);
}

// The same for a body(task) without a state.
template <class Body>
void parallel_for(Index n_tasks, int threads, Body&& body) {
    struct Nothing {};
    parallel_with(
        n_tasks, threads, [] { return Nothing{}; }, [&](Index task, Nothing&) { body(task); });
}

// Bounds of about equal chunks of [0, n). There are at most `max_chunks`, or more where a chunk
// would exceed 2^23 items, and no chunk is shorter than 2^16 unless it is the only one.
inline std::vector<Index> chunk_bounds(Index n, Index max_chunks) {
    constexpr Index kLargest = Index{1} << 23;
    const Index enough = std::max(max_chunks, n / kLargest);
    const Index chunks = std::max<Index>(1, std::min<Index>(enough, n / (1 << 16)));
    std::vector<Index> bounds;
    for (Index c = 0; c <= chunks; ++c) bounds.push_back(n / chunks * c);
    bounds.back() = n;
    return bounds;
}

// Cuts items with the given weights (through their prefix sums, weights[i] = prefix[i+1]-prefix[i])
// into at most n_blocks contiguous runs of about equal weight. Returns the run boundaries. The cut
// depends on the data alone, never on the number of threads.
inline std::vector<Index> balanced_blocks(std::span<const Index> prefix, Index n_blocks) {
    const Index n_items = static_cast<Index>(prefix.size()) - 1;
    const Index total = prefix.back() - prefix.front();
    std::vector<Index> bounds{0};
    for (Index block = 1; block < n_blocks; ++block) {
        const Index goal = prefix.front() + total / n_blocks * block;
        const auto it = std::lower_bound(prefix.begin(), prefix.end(), goal);
        const Index item = std::min<Index>(n_items, it - prefix.begin());
        if (item > bounds.back()) bounds.push_back(item);
    }
    if (n_items > bounds.back()) bounds.push_back(n_items);
    return bounds;
}

}  // namespace ngramstat
