#include "crfrnn/permutohedral.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "crfrnn/parallel.hpp"
#include "simplex.hpp"
#include "vertex_index.hpp"

namespace crfrnn {
namespace {

// Points per block. Rows of 24 floats for the vertices of a block of 4096 points of a photograph take about
// 400 KB: they fit the second-level cache. Few points make smaller blocks, or threads would have nothing to
// do. It must not depend on the number of threads.
std::int64_t block_points(std::int64_t points) {
  constexpr std::int64_t kMost = 4096, kLeast = 256, kBlocks = 32;
  const std::int64_t wanted = (points / kBlocks + kLeast - 1) / kLeast * kLeast;
  return std::min(kMost, std::max(kLeast, wanted));
}

// The vertices that have a neighbour, chain after chain. next[v] is the neighbour of v or -1; links never
// form a ring.
template <typename T>
BlurAxis<T> link_chains(const std::int32_t* next, std::int64_t vertices) {
  // Whether a vertex has a neighbour is hard to foresee: no branch may depend on it.
  Buffer<char> follows(vertices + 1);  // of v at v + 1, so that -1 needs no exception
  std::fill_n(follows.data(), vertices + 1, 0);
  std::int64_t links = 0;
  for (std::int64_t v = 0; v < vertices; ++v) {
    follows[next[v] + 1] = 1;
    links += next[v] >= 0;
  }
  Buffer<std::int32_t> head(vertices);
  std::int64_t chains = 0;
  for (std::int64_t v = 0; v < vertices; ++v) {
    head[chains] = static_cast<std::int32_t>(v);
    chains += (next[v] >= 0) & !follows[v + 1];
  }
  BlurAxis<T> axis{Buffer<std::int32_t>(links + chains), Buffer<T>(links + chains)};
  std::int64_t k = 0;
  for (std::int64_t i = 0; i < chains; ++i) {
    for (std::int32_t v = head[i]; v >= 0; v = next[v]) {
      axis.order[k] = v;
      axis.link[k++] = T(0.5);
    }
    axis.link[k - 1] = T(0);
  }
  return axis;
}

}  // namespace

template <typename T>
PermutohedralLattice<T>::PermutohedralLattice(const T* features, std::int64_t points, int dimension,
                                              int threads)
    : points_(points), corners_(dimension + 1), slice_gain_(crfrnn::slice_gain<T>(dimension)) {
  if (dimension < 1 || dimension > kMaxDimension) {
    throw std::invalid_argument("the feature space must have 1 to " + std::to_string(kMaxDimension) +
                                " dimensions, got " + std::to_string(dimension));
  }
  if (points < 1) throw std::invalid_argument("there must be at least one point to filter");
  if (points > std::numeric_limits<std::int32_t>::max() / corners_) {
    throw std::invalid_argument(std::to_string(points) + " points in " + std::to_string(dimension) +
                                " dimensions are too many for 32-bit vertex numbers: filter them in parts");
  }
  const FeatureRange<T> range = feature_range(features, points, dimension, threads);
  if (range.bad >= 0) {
    throw std::invalid_argument("feature " + std::to_string(range.bad % dimension) + " of point " +
                                std::to_string(range.bad / dimension) +
                                " is NaN or infinite: all features must be finite");
  }
  const KeyLayout layout = key_layout(range, elevation<T>(dimension), dimension);
  if (layout.packed) {
    build<PackedKey>(features, layout, threads);
  } else if (dimension <= 16) {
    build<WideKey<16>>(features, layout, threads);  // half the bytes to compare and to hash
  } else {
    build<WideKey<kMaxDimension>>(features, layout, threads);
  }
}

template <typename T>
template <typename Key>
void PermutohedralLattice<T>::build(const T* features, const KeyLayout& layout, int threads) {
  const int d = layout.dimension;
  const Elevation<T> scale = elevation<T>(d);
  corner_ = Buffer<std::int32_t>(points_ * corners_);
  barycentric_ = Buffer<T>(points_ * corners_);

  const std::int64_t grain = block_points(points_);
  std::vector<BlockKeys<Key>> blocks((points_ + grain - 1) / grain);
  parallel_ranges(threads, points_, grain, [&](std::int64_t begin, std::int64_t end) {
    embed_block(features, layout, scale, begin, end, corner_.data(), barycentric_.data(),
                &blocks[begin / grain]);
  });
  VertexIndex<Key> index(blocks, points_, grain, threads);
  vertices_ = index.vertices();
  blocks_ = index.blocks();
  shared_ = index.take_shared();
  parallel_ranges(threads, points_, grain, [&](std::int64_t begin, std::int64_t end) {
    const std::int32_t* place = index.places(begin / grain);
    for (std::int64_t i = begin * corners_; i < end * corners_; ++i) corner_[i] = place[corner_[i]];
  });

  // The neighbour of every vertex in the direction of each axis, then the chains these links form.
  axes_.resize(corners_);
  std::vector<Buffer<std::int32_t>> next(corners_);
  std::vector<Key> step(corners_);
  for (int axis = 0; axis < corners_; ++axis) {
    next[axis] = Buffer<std::int32_t>(vertices_);
    for (int i = 0; i < d; ++i) step[axis].add(layout, i, i == axis ? -d : 1);
  }
  parallel_ranges(threads, vertices_, 4096, [&](std::int64_t begin, std::int64_t end) {
    for (int axis = 0; axis < corners_; ++axis) {
      index.neighbours(step[axis], begin, end, next[axis].data() + begin);
    }
  });
  parallel_for(threads, corners_ + 1, [&](std::int64_t task) {
    if (task < corners_) {
      axes_[task] = link_chains<T>(next[task].data(), vertices_);
    } else {
      index_shared_vertices();
    }
  });
}

template <typename T>
void PermutohedralLattice<T>::index_shared_vertices() {
  std::vector<std::int32_t> count(vertices_, 0);
  for (const std::int32_t vertex : shared_) ++count[vertex];
  std::int32_t sum = 0;
  for (std::int64_t v = 0; v < vertices_; ++v) {
    if (count[v] == 0) continue;
    shared_vertices_.push_back({static_cast<std::int32_t>(v), sum});
    sum += std::exchange(count[v], sum);  // from now on where the next place of v goes
  }
  shared_vertices_.push_back({static_cast<std::int32_t>(vertices_), sum});
  shared_place_.resize(shared_.size());
  for (std::size_t place = 0; place < shared_.size(); ++place) {
    shared_place_[count[shared_[place]]++] = static_cast<std::int32_t>(place);
  }
}

template <typename T>
std::size_t PermutohedralLattice<T>::bytes() const {
  std::size_t sum = corner_.bytes() + barycentric_.bytes() + blocks_.size() * sizeof(LatticeBlock) +
                    (shared_.size() + shared_place_.size()) * sizeof(std::int32_t) +
                    shared_vertices_.size() * sizeof(SharedVertex);
  for (const BlurAxis<T>& axis : axes_) sum += axis.order.bytes() + axis.link.bytes();
  return sum;
}

template class PermutohedralLattice<float>;
template class PermutohedralLattice<double>;

}  // namespace crfrnn
