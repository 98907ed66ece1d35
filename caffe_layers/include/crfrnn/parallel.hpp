// Threads for the CPU kernels: a loop over independent tasks, shared between the caller and a small pool.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

namespace crfrnn {

// Calls body(task) once for every task in [0, tasks), on the calling thread and at most threads - 1 workers.
//
// Tasks are handed out one by one, so a worker whose core is busy elsewhere delays nobody by more than one
// task. The tasks must be independent: which thread runs which task is not defined, hence a result is the
// same for every number of threads exactly if no two tasks write the same memory. When the pool is in use (a
// nested call, or another thread of the process inside the library) the caller runs all tasks itself.
// Denormal numbers count as zero in tasks, whatever mode the calling thread is in.
//
// Workers are created at the first call that wants them, and again in a child process after fork().
// Throws std::invalid_argument if threads < 1; an exception of a task is rethrown here after all threads have
// stopped.
void parallel_for(int threads, std::int64_t tasks, const std::function<void(std::int64_t)>& body);

// Calls body(begin, end) for consecutive ranges of at most `grain` items that cover [0, items).
template <typename Body>
void parallel_ranges(int threads, std::int64_t items, std::int64_t grain, const Body& body) {
  parallel_for(threads, (items + grain - 1) / grain,
               [&](std::int64_t task) { body(task * grain, std::min(items, (task + 1) * grain)); });
}

}  // namespace crfrnn
