// What PermutohedralLattice computes with: the filter, and its response to ones.
#include <algorithm>
#include <stdexcept>

#include "crfrnn/parallel.hpp"
#include "crfrnn/permutohedral.hpp"
#include "lattice_pass.hpp"

namespace crfrnn {

template <typename T>
Buffer<T> PermutohedralLattice<T>::ones_response(int threads) const {
  // One channel: a scalar pass is cheaper than a row of kLanes.
  const std::int64_t blocks = static_cast<std::int64_t>(blocks_.size());
  Buffer<T> mass(places());
  parallel_for(threads, blocks, [&](std::int64_t i) {
    const LatticeBlock& block = blocks_[i];
    std::fill_n(mass.data() + block.first_vertex, block.own, T(0));
    std::fill_n(mass.data() + vertices_ + block.first_shared, block.shares, T(0));
    const std::int64_t begin = block.first_point * corners_, end = begin + block.points * corners_;
    for (std::int64_t e = begin; e < end; ++e) mass[corner_[e]] += barycentric_[e];
  });
  const std::int64_t shared_vertices = static_cast<std::int64_t>(shared_vertices_.size()) - 1;
  parallel_ranges(threads, shared_vertices, kVertexGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int32_t last = shared_vertices_[i + 1].first_place;
      for (std::int32_t p = shared_vertices_[i].first_place; p < last; ++p) {
        mass[shared_vertices_[i].vertex] += mass[vertices_ + shared_place_[p]];
      }
    }
  });
  for (const BlurAxis<T>& axis : axes_) {
    parallel_ranges(threads, axis.size(), kVertexGrain, [&](std::int64_t begin, std::int64_t end) {
      begin = chain_start(axis, begin);
      end = chain_start(axis, end);
      if (begin == end) return;
      T before = 0, back = 0, here = mass[axis.order[begin]];
      for (std::int64_t k = begin; k < end; ++k) {
        const T after = k + 1 < end ? mass[axis.order[k + 1]] : T(0);
        mass[axis.order[k]] = here + back * before + axis.link[k] * after;
        before = here;
        here = after;
        back = axis.link[k];
      }
    });
  }
  Buffer<T> response(points_);
  parallel_for(threads, blocks, [&](std::int64_t i) {
    const LatticeBlock& block = blocks_[i];
    for (std::int32_t k = block.first_shared; k < block.first_shared + block.shares; ++k) {
      mass[vertices_ + k] = mass[shared_[k]];
    }
    for (std::int64_t p = block.first_point; p < block.first_point + block.points; ++p) {
      T sum = 0;
      for (int j = 0; j < corners_; ++j)
        sum += barycentric_[p * corners_ + j] * mass[corner_[p * corners_ + j]];
      response[p] = slice_gain_ * sum;
    }
  });
  return response;
}

template <typename T>
void PermutohedralLattice<T>::filter(const T* in, T* out, std::int64_t channels, bool reverse,
                                     int threads) const {
  if (channels < 1) throw std::invalid_argument("there must be at least one channel to filter");
  const std::int64_t stride = row_stride(channels);
  LatticePass<T> pass({{this, nullptr, nullptr, slice_gain_}}, channels, threads);
  pass.splat([&](std::int64_t first, std::int64_t count, T* rows) {
    for (std::int64_t p = 0; p < count; ++p) {
      std::copy_n(in + (first + p) * channels, channels, rows + p * stride);
      std::fill_n(rows + p * stride + channels, stride - channels, T(0));
    }
  });
  pass.blur(reverse);
  pass.slice(nullptr, [&](std::int64_t first, std::int64_t count, T* rows) {
    for (std::int64_t p = 0; p < count; ++p) {
      std::copy_n(rows + p * stride, channels, out + (first + p) * channels);
    }
  });
}

#define CRFRNN_INSTANCES(T)                                             \
  template Buffer<T> PermutohedralLattice<T>::ones_response(int) const; \
  template void PermutohedralLattice<T>::filter(const T*, T*, std::int64_t, bool, int) const;
CRFRNN_INSTANCES(float)
CRFRNN_INSTANCES(double)
#undef CRFRNN_INSTANCES

}  // namespace crfrnn
