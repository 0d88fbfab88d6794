// parallel_for: every task once, the exception of the lowest failing task, nothing left running.
#include <atomic>
#include <chrono>
#include <new>
#include <stdexcept>
#include <thread>

#include "check.hpp"
#include "ngramstat/base/error.hpp"
#include "ngramstat/base/parallel.hpp"

namespace {

using namespace ngramstat;

constexpr int kWorkers[] = {-1, 0, 1, 2, 7, 16};

void runs_every_task_once() {
    for (const int threads : kWorkers) {
        for (const Index n : {0, 1, 2, 7, 1000}) {
            check::in_case(std::to_string(n) + " tasks, threads " + std::to_string(threads));
            std::vector<int> runs(static_cast<std::size_t>(n), 0);  // each task owns its entry
            parallel_for(n, threads, [&](Index task) { ++runs[task]; });
            for (const int r : runs) CHECK(r == 1);
        }
    }
}

void rethrows_the_lowest_failing_task() {
    constexpr Index kTasks = 200;
    check::Random random(7);
    for (int repeat = 0; repeat < 10; ++repeat) {
        std::vector<bool> fails(kTasks);
        Index lowest = kTasks;
        for (Index t = kTasks - 1; t >= 0; --t) {
            fails[t] = random.below(10) == 0;
            if (fails[t]) lowest = t;
        }
        for (const int threads : kWorkers) {
            check::in_case("repeat " + std::to_string(repeat) + ", threads " +
                           std::to_string(threads));
            std::atomic<int> running{0};
            std::string caught = "nothing";
            try {
                parallel_for(kTasks, threads, [&](Index task) {
                    running.fetch_add(1);
                    // Lower tasks take longer, so that a higher one tends to fail first.
                    if (task % 8 == 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
                    running.fetch_sub(1);
                    if (fails[task]) throw std::out_of_range("task " + std::to_string(task));
                });
            } catch (const std::out_of_range& error) {
                caught = error.what();
            }
            CHECK(running.load() == 0);
            CHECK(caught == (lowest == kTasks ? "nothing" : "task " + std::to_string(lowest)));
        }
    }
}

void keeps_the_type_of_the_exception() {
    check::in_case("types of exceptions");
    for (const int threads : kWorkers) {
        CHECK_THROWS(std::bad_alloc,
                     parallel_for(20, threads, [](Index) { throw std::bad_alloc(); }));
        CHECK_THROWS(DeviceError, parallel_for(20, threads, [](Index t) {
                         if (t == 19) throw DeviceError("last task");
                     }));
        // The failing task is the only one.
        CHECK_THROWS(int, parallel_for(1, threads, [](Index) { throw 3; }));
    }
}

void nests() {
    for (const int threads : check::kThreads) {
        check::in_case("nested, threads " + std::to_string(threads));
        std::atomic<Index> sum{0};
        parallel_for(9, threads, [&](Index outer) {
            parallel_for(11, threads, [&](Index inner) { sum += outer * 11 + inner; });
        });
        CHECK(sum.load() == 98 * 99 / 2);
    }
}

void cuts_balanced_blocks() {
    check::Random random(11);
    for (int repeat = 0; repeat < 100; ++repeat) {
        check::in_case("balanced_blocks, repeat " + std::to_string(repeat));
        const Index n = random.below(40);
        const Index scale = 1 + random.below(50);
        std::vector<Index> prefix{random.below(5)};  // a prefix need not begin at 0
        Index heaviest = 0;
        for (Index i = 0; i < n; ++i) {
            const Index weight = random.below(3) == 0 ? 0 : random.below(scale);
            heaviest = std::max(heaviest, weight);
            prefix.push_back(prefix.back() + weight);
        }
        const Index count = 1 + random.below(12);
        const auto bounds = balanced_blocks(prefix, count);
        CHECK(bounds.front() == 0 && bounds.back() == n);
        CHECK(static_cast<Index>(bounds.size()) - 1 <= count);
        const Index fair_block = (prefix.back() - prefix.front()) / count;
        for (std::size_t b = 1; b < bounds.size(); ++b) {
            CHECK(bounds[b] > bounds[b - 1]);
            // A cut misses its goal by less than one item; the last block gets the remainder.
            CHECK(prefix[bounds[b]] - prefix[bounds[b - 1]] <= fair_block + heaviest + count);
        }
    }
}

}  // namespace

int main() {
    runs_every_task_once();
    rethrows_the_lowest_failing_task();
    keeps_the_type_of_the_exception();
    nests();
    cuts_balanced_blocks();
}
