// Splat and blur on several lattices at once: one parallel region for all of them, since every region ends
// with all threads waiting for the slowest.
#pragma once

#include <cstdint>
#include <vector>

#include "crfrnn/parallel.hpp"
#include "crfrnn/permutohedral.hpp"
#include "kernels.hpp"

namespace crfrnn {

constexpr std::int64_t kVertexGrain = 1024;
constexpr std::int64_t kPointGrain = 1024;

// Orders the vertices along one axis. next[v] is the neighbour of v or -1; links never form a ring.
template <typename T>
void link_chains(const std::int32_t* next, std::int64_t vertices, BlurAxis<T>* axis) {
  std::vector<char> has_previous(vertices, 0);
  for (std::int64_t v = 0; v < vertices; ++v) {
    if (next[v] >= 0) has_previous[next[v]] = 1;
  }
  std::int64_t k = 0;
  for (std::int64_t head = 0; head < vertices; ++head) {
    if (has_previous[head]) continue;
    for (std::int32_t v = static_cast<std::int32_t>(head); v >= 0; v = next[v]) {
      axis->order[k] = v;
      axis->link[k++] = next[v] >= 0 ? T(0.5) : T(0);
    }
  }
}

// The first end of a chain at or after position `at`.
template <typename T>
std::int64_t chain_start(const BlurAxis<T>& axis, std::int64_t vertices, std::int64_t at) {
  while (at > 0 && at < vertices && axis.link[at - 1] != T(0)) ++at;
  return at < vertices ? at : vertices;
}

// Calls body(begin, end) for ranges of whole chains.
template <typename T, typename Body>
void parallel_chains(int threads, const BlurAxis<T>& axis, std::int64_t vertices, const Body& body) {
  parallel_ranges(threads, vertices, kVertexGrain, [&](std::int64_t begin, std::int64_t end) {
    begin = chain_start(axis, vertices, begin);
    end = chain_start(axis, vertices, end);
    if (begin < end) body(begin, end);
  });
}

template <typename T>
struct SplatJob {
  const PermutohedralLattice<T>* lattice;
  const T* in;     // points x stride
  const T* scale;  // per point, or null for 1
  T* out;          // vertices x stride
};

template <typename T>
struct BlurJob {
  const PermutohedralLattice<T>* lattice;
  T* rows;  // vertices x stride
};

// Runs body(job, begin, end) over the vertices of all jobs in one region.
template <typename Job, typename Body>
void parallel_vertices(int threads, const std::vector<Job>& jobs, const Body& body) {
  std::vector<std::int64_t> first_task{0};
  for (const Job& job : jobs) {
    first_task.push_back(first_task.back() + (job.lattice->vertices() + kVertexGrain - 1) / kVertexGrain);
  }
  parallel_for(threads, first_task.back(), [&](std::int64_t task) {
    std::size_t i = 0;
    while (task >= first_task[i + 1]) ++i;
    const std::int64_t begin = (task - first_task[i]) * kVertexGrain;
    body(jobs[i], begin, std::min(jobs[i].lattice->vertices(), begin + kVertexGrain));
  });
}

template <typename T>
void splat(const std::vector<SplatJob<T>>& jobs, std::int64_t stride, int threads) {
  parallel_vertices(threads, jobs, [&](const SplatJob<T>& job, std::int64_t begin, std::int64_t end) {
    const PermutohedralLattice<T>& l = *job.lattice;
    const SplatArgs<T> args{l.row_begin(), l.entry_point(), l.entry_weight(), job.scale, job.in,
                            job.out,       stride};
    kernels<T>().splat(args, begin, end);
  });
}

template <typename T>
void blur(const std::vector<BlurJob<T>>& jobs, std::int64_t stride, bool reverse, int threads) {
  int most = 0;
  for (const BlurJob<T>& job : jobs) most = std::max(most, job.lattice->corners());
  for (int step = 0; step < most; ++step) {
    std::vector<BlurJob<T>> active;
    for (const BlurJob<T>& job : jobs) {
      if (step < job.lattice->corners()) active.push_back(job);
    }
    parallel_vertices(threads, active, [&](const BlurJob<T>& job, std::int64_t begin, std::int64_t end) {
      const PermutohedralLattice<T>& l = *job.lattice;
      const BlurAxis<T>& axis = l.axes()[reverse ? l.corners() - 1 - step : step];
      begin = chain_start(axis, l.vertices(), begin);
      end = chain_start(axis, l.vertices(), end);
      kernels<T>().blur({axis.order.data(), axis.link.data(), job.rows, stride}, begin, end);
    });
  }
}

}  // namespace crfrnn
