#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "crfrnn/parallel.hpp"
#include "testing.hpp"

namespace {

bool every_task_runs_once(int threads, int tasks) {
  std::vector<int> count(tasks, 0);
  crfrnn::parallel_for(threads, tasks, [&](std::int64_t task) { ++count[task]; });
  return std::count(count.begin(), count.end(), 1) == tasks;
}

}  // namespace

TEST(every_task_runs_once_on_any_number_of_threads) {
  for (int threads : {1, 2, 3, 8}) {
    for (int tasks : {0, 1, 2, 1000}) CHECK(every_task_runs_once(threads, tasks));
  }
}

TEST(many_short_regions_follow_each_other) {
  std::vector<std::int64_t> sum(16, 0);
  for (int i = 0; i < 2000; ++i) {
    crfrnn::parallel_for(4, 16, [&](std::int64_t task) { sum[task] += task; });
  }
  for (int task = 0; task < 16; ++task) CHECK(sum[task] == 2000 * task);
}

TEST(nested_and_concurrent_calls_do_all_their_tasks) {
  std::atomic<int> count{0};
  const auto nested = [&] {
    crfrnn::parallel_for(3, 10,
                         [&](std::int64_t) { crfrnn::parallel_for(3, 10, [&](std::int64_t) { ++count; }); });
  };
  std::thread other(nested);
  nested();
  other.join();
  CHECK(count == 200);
}

TEST(exceptions_of_tasks_reach_the_caller_and_leave_the_pool_usable) {
  for (int threads : {1, 4}) {
    const std::string message = testing::message_of([&] {
      crfrnn::parallel_for(threads, 100, [](std::int64_t task) {
        if (task == 17) throw std::runtime_error("seventeen");
      });
    });
    CHECK(message == "seventeen");
    CHECK(every_task_runs_once(threads, 100));
  }
  CHECK(!testing::message_of([] { crfrnn::parallel_for(0, 1, [](std::int64_t) {}); }).empty());
}

TEST(ranges_cover_the_items_in_pieces_of_the_grain) {
  for (std::int64_t items : {0, 1, 10, 11, 19}) {
    std::vector<int> count(items, 0);
    crfrnn::parallel_ranges(3, items, 5, [&](std::int64_t begin, std::int64_t end) {
      CHECK(begin % 5 == 0 && (end - begin == 5 || end == items));
      for (std::int64_t i = begin; i < end; ++i) ++count[i];
    });
    CHECK(std::count(count.begin(), count.end(), 1) == items);
  }
}

// The thread sanitizer forbids threads in the child of a process with threads; Windows has no fork.
#if !defined(__SANITIZE_THREAD__) && !defined(_WIN32)
TEST(a_forked_child_has_a_pool_of_its_own) {
  CHECK(every_task_runs_once(3, 50));
  const pid_t child = fork();
  if (child == 0) _exit(every_task_runs_once(3, 50) ? 0 : 1);
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
#endif
