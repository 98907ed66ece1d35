#include "crfrnn/parallel.hpp"

#if !defined(_WIN32)
#include <pthread.h>
#endif

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "denormals.hpp"

namespace crfrnn {
namespace {

constexpr int kMaxThreads = 256;

// Regions of one call follow each other within tens of microseconds; sleeping and waking would cost more than
// that.
constexpr int kSpins = 4000;

inline void pause_cpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

class ThreadPool {
 public:
  ThreadPool() = default;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  ~ThreadPool() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  // Returns false, having done nothing, if another call is using the pool.
  bool run(int threads, std::int64_t tasks, const std::function<void(std::int64_t)>& body) {
    if (in_use_.exchange(true, std::memory_order_acquire)) return false;
    const InUse release{in_use_};
    const int helpers = static_cast<int>(std::min<std::int64_t>(threads, tasks)) - 1;
    while (static_cast<int>(workers_.size()) < helpers) {
      const int index = static_cast<int>(workers_.size());
      workers_.emplace_back([this, index] { work(index); });
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      body_ = &body;
      tasks_ = tasks;
      helpers_ = helpers;
      next_.store(0, std::memory_order_relaxed);
      error_ = nullptr;
      generation_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    drain(body, tasks);
    for (int spin = 0; spin < kSpins && inside_.load(std::memory_order_acquire) > 0; ++spin) pause_cpu();
    std::unique_lock<std::mutex> lock(mutex_);
    // From here on nobody may enter the region: the body is about to die.
    body_ = nullptr;
    done_.wait(lock, [this] { return inside_.load(std::memory_order_relaxed) == 0; });
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    return true;
  }

 private:
  struct InUse {
    std::atomic<bool>& flag;
    ~InUse() { flag.store(false, std::memory_order_release); }
  };

  void drain(const std::function<void(std::int64_t)>& body, std::int64_t tasks) {
    const DenormalsAreZero mode;
    try {
      for (;;) {
        const std::int64_t task = next_.fetch_add(1, std::memory_order_relaxed);
        if (task >= tasks) return;
        body(task);
      }
    } catch (...) {
      next_.store(tasks, std::memory_order_relaxed);
      std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
  }

  void work(int index) {
    std::uint64_t seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins && generation_.load(std::memory_order_acquire) == seen; ++spin)
        pause_cpu();
      const std::function<void(std::int64_t)>* body = nullptr;
      std::int64_t tasks = 0;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        wake_.wait(lock, [&] { return generation_.load(std::memory_order_relaxed) != seen; });
        seen = generation_.load(std::memory_order_relaxed);
        if (stop_) return;
        if (!body_ || index >= helpers_) continue;
        body = body_;
        tasks = tasks_;
        inside_.fetch_add(1, std::memory_order_relaxed);
      }
      drain(*body, tasks);
      {
        std::lock_guard<std::mutex> lock(mutex_);
        inside_.fetch_sub(1, std::memory_order_release);
      }
      done_.notify_one();
    }
  }

  std::atomic<bool> in_use_{false};
  std::mutex mutex_;  // guards everything below but the atomics
  std::condition_variable wake_;
  std::condition_variable done_;
  std::vector<std::thread> workers_;
  const std::function<void(std::int64_t)>* body_ = nullptr;
  std::int64_t tasks_ = 0;
  int helpers_ = 0;
  bool stop_ = false;
  std::exception_ptr error_;
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<std::int64_t> next_{0};
  std::atomic<int> inside_{0};
};

// The pool of this process. A forked child inherits the object but none of its threads, and perhaps a locked
// mutex: it must neither use nor destroy it, so the child lets go of it and makes its own when it needs one.
class PoolOwner {
 public:
  ThreadPool& get() {
    std::lock_guard<std::mutex> lock(*mutex_);
    if (!pool_) pool_ = std::make_unique<ThreadPool>();
    return *pool_;
  }

  static PoolOwner& instance() {
    static PoolOwner owner;
    return owner;
  }

 private:
#if defined(_WIN32)
  PoolOwner() : mutex_(std::make_unique<std::mutex>()) {}
  // The system ends all other threads of a process before the static objects of its libraries: there is
  // nobody to wait for, and a lock may be held for ever.
  ~PoolOwner() { abandon(); }
#else
  PoolOwner() : mutex_(std::make_unique<std::mutex>()) {
    pthread_atfork(nullptr, nullptr, [] { instance().abandon(); });
  }
#endif

  void abandon() {
    static_cast<void>(pool_.release());
    static_cast<void>(mutex_.release());
    mutex_ = std::make_unique<std::mutex>();
  }

  std::unique_ptr<std::mutex> mutex_;
  std::unique_ptr<ThreadPool> pool_;
};

}  // namespace

void parallel_for(int threads, std::int64_t tasks, const std::function<void(std::int64_t)>& body) {
  if (threads < 1) {
    throw std::invalid_argument("the number of threads must be at least 1, got " + std::to_string(threads));
  }
  if (threads > 1 && tasks > 1 &&
      PoolOwner::instance().get().run(std::min(threads, kMaxThreads), tasks, body)) {
    return;
  }
  const DenormalsAreZero mode;
  for (std::int64_t task = 0; task < tasks; ++task) body(task);
}

}  // namespace crfrnn
