#include "crfrnn/permutohedral.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "crfrnn/parallel.hpp"
#include "kernels.hpp"
#include "lattice_pass.hpp"
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

// Beyond this many lattice units T cannot tell apart points of one simplex (and the rounding in embed()
// breaks down).
template <typename T>
constexpr double kLargestCoordinate = sizeof(T) == 4 ? 2097152.0 : 536870912.0;

// Factors of the elevation (section 3.1): unit-variance Gaussian, lattice of remainder-0 points scaled by d
// + 1.
template <typename T>
std::array<T, kMaxDimension> elevation(int d) {
  std::array<T, kMaxDimension> scale{};
  const double deviation = std::sqrt(2.0 / 3.0) * (d + 1);
  for (int i = 0; i < d; ++i) {
    scale[i] = static_cast<T>(1.0 / std::sqrt((i + 1.0) * (i + 2.0)) * deviation);
  }
  return scale;
}

template <typename T>
struct Range {
  std::array<T, kMaxDimension> low;
  std::array<T, kMaxDimension> high;
  std::int64_t bad = -1;  // index of the first value that is not finite
};

template <typename T>
Range<T> feature_range(const T* features, std::int64_t points, int d, int threads) {
  constexpr std::int64_t kGrain = 16384;
  std::vector<Range<T>> parts((points + kGrain - 1) / kGrain);
  parallel_ranges(threads, points, kGrain, [&](std::int64_t begin, std::int64_t end) {
    Range<T> r;
    for (int i = 0; i < d; ++i) r.low[i] = r.high[i] = features[begin * d + i];
    for (std::int64_t p = begin; p < end; ++p) {
      for (int i = 0; i < d; ++i) {
        const T f = features[p * d + i];
        if (!std::isfinite(f) && r.bad < 0) r.bad = p * d + i;
        r.low[i] = std::min(r.low[i], f);
        r.high[i] = std::max(r.high[i], f);
      }
    }
    parts[begin / kGrain] = r;
  });
  Range<T> all = parts[0];
  for (const Range<T>& r : parts) {
    if (all.bad < 0) all.bad = r.bad;
    for (int i = 0; i < d; ++i) {
      all.low[i] = std::min(all.low[i], r.low[i]);
      all.high[i] = std::max(all.high[i], r.high[i]);
    }
  }
  return all;
}

// Bounds of the lattice coordinates from those of the features, by interval arithmetic.
template <typename T>
KeyLayout key_layout(const Range<T>& range, const std::array<T, kMaxDimension>& scale, int d) {
  KeyLayout layout;
  layout.dimension = d;
  int bits = 0;
  for (int i = 0; i <= d; ++i) {
    double low = 0, high = 0;
    for (int j = std::max(i - 1, 0); j < d; ++j) {
      const double factor = j == i - 1 ? -double(i) * scale[j] : double(scale[j]);
      low += std::min(factor * range.low[j], factor * range.high[j]);
      high += std::max(factor * range.low[j], factor * range.high[j]);
    }
    if (std::max(-low, high) > kLargestCoordinate<T>) {
      throw std::invalid_argument(
          "the features reach " + std::to_string(std::max(-low, high) / (d + 1)) +
          " standard deviations from the origin, more than " + (sizeof(T) == 4 ? "float32" : "float64") +
          " resolves: use larger standard deviations (theta), shift the features towards zero" +
          (sizeof(T) == 4 ? ", or use float64" : ""));
    }
    if (i == d) break;  // the last coordinate is not part of the key
    // The corners of a simplex and their neighbours in the blur lie within 2 (d + 1) of the point; 1 for
    // rounding.
    const double margin = 3 * (d + 1);
    layout.low[i] = static_cast<std::int64_t>(std::floor(low - margin));
    const std::int64_t extent = static_cast<std::int64_t>(std::ceil(high + margin)) - layout.low[i] + 1;
    layout.shift[i] = bits;
    while (bits - layout.shift[i] < 40 && (std::int64_t{1} << (bits - layout.shift[i])) < extent) ++bits;
  }
  layout.packed = bits <= 64;
  return layout;
}

// From the simplex of a point to the keys of its corners.
template <typename Key>
class CornerKeys {
 public:
  explicit CornerKeys(const KeyLayout& layout) : layout_(layout), origin_(Key::origin(layout)) {
    const int d = layout.dimension;
    for (int i = 0; i <= d; ++i) {
      for (int j = 0; j < d; ++j) step_[i].add(layout, j, i == j ? -d : 1);
    }
  }

  // keys[l (d + 1) + r] = that of the corner of remainder r of point l, for the first `count` points.
  template <typename T>
  void write(const Simplices<T>& s, int count, Key* keys) const {
    const int d = layout_.dimension;
    std::array<Key, kMaxDimension + 2> step;  // from the corner of remainder r - 1 to that of remainder r
    for (int l = 0; l < count; ++l, keys += d + 1) {
      Key key = origin_;
      for (int i = 0; i < d; ++i) key.add(layout_, i, s.base[i][l]);
      for (int i = 0; i <= d; ++i) step[d + 1 - s.rank[i][l]] = step_[i];
      keys[0] = key;
      for (int r = 1; r <= d; ++r) keys[r] = key = key + step[r];
    }
  }

 private:
  KeyLayout layout_;
  Key origin_;
  std::array<Key, kMaxDimension + 1> step_;  // one up in all coordinates, d + 1 down in coordinate i
};

// Embeds points [begin, end) and numbers the corners within the block.
template <typename T, typename Key>
void embed_block(const T* features, const KeyLayout& layout, const T* scale, std::int64_t begin,
                 std::int64_t end, std::int32_t* corner, T* barycentric, BlockKeys<Key>* block) {
  const int d = layout.dimension;
  const int corners = d + 1;
  const Kernels<T>& k = kernels<T>();
  const CornerKeys<Key> corner_keys(layout);
  // Mostly empty: a key is then found at first sight, and processors foresee that.
  KeyMap<Key> numbers(2 * (end - begin));
  std::vector<Key>& found = block->keys;
  found.reserve(end - begin);

  Simplices<T> s;
  std::array<T, kEmbedPoints * kMaxDimension> tail;
  std::array<Key, kEmbedPoints*(kMaxDimension + 1)> keys;
  for (std::int64_t first = begin; first < end; first += kEmbedPoints) {
    const int count = static_cast<int>(std::min<std::int64_t>(kEmbedPoints, end - first));
    const T* block_features = features + first * d;
    if (count < kEmbedPoints) {
      for (int l = 0; l < kEmbedPoints; ++l) {
        std::copy_n(block_features + std::min(l, count - 1) * d, d, tail.data() + l * d);
      }
      block_features = tail.data();
    }
    k.embed(block_features, d, scale, &s);
    corner_keys.write(s, count, keys.data());
    std::int32_t* c = corner + first * corners;
    for (int i = 0; i < count * corners; ++i) {
      const std::int32_t next = static_cast<std::int32_t>(found.size());
      c[i] = numbers.insert(keys[i], next);
      if (c[i] == next) found.push_back(keys[i]);
    }
    T* b = barycentric + first * corners;
    for (int l = 0; l < count; ++l, b += corners) {
      for (int r = 0; r <= d; ++r) b[r] = s.barycentric[r][l];
    }
  }
  block->sort_by_part();
}

}  // namespace

template <typename T>
PermutohedralLattice<T>::PermutohedralLattice(const T* features, std::int64_t points, int dimension,
                                              int threads)
    : points_(points),
      corners_(dimension + 1),
      slice_gain_(static_cast<T>(1 / (1 + std::pow(2.0, -dimension)))) {
  if (dimension < 1 || dimension > kMaxDimension) {
    throw std::invalid_argument("the feature space must have 1 to " + std::to_string(kMaxDimension) +
                                " dimensions, got " + std::to_string(dimension));
  }
  if (points < 1) throw std::invalid_argument("there must be at least one point to filter");
  if (points > std::numeric_limits<std::int32_t>::max() / corners_) {
    throw std::invalid_argument(std::to_string(points) + " points in " + std::to_string(dimension) +
                                " dimensions are too many for 32-bit vertex numbers: filter them in parts");
  }
  const Range<T> range = feature_range(features, points, dimension, threads);
  if (range.bad >= 0) {
    throw std::invalid_argument("feature " + std::to_string(range.bad % dimension) + " of point " +
                                std::to_string(range.bad / dimension) +
                                " is NaN or infinite: all features must be finite");
  }
  const KeyLayout layout = key_layout(range, elevation<T>(dimension), dimension);
  if (layout.packed) {
    build<PackedKey>(features, layout, threads);
  } else {
    build<WideKey>(features, layout, threads);
  }
}

template <typename T>
template <typename Key>
void PermutohedralLattice<T>::build(const T* features, const KeyLayout& layout, int threads) {
  const int d = layout.dimension;
  const std::array<T, kMaxDimension> scale = elevation<T>(d);
  corner_ = Buffer<std::int32_t>(points_ * corners_);
  barycentric_ = Buffer<T>(points_ * corners_);

  const std::int64_t grain = block_points(points_);
  std::vector<BlockKeys<Key>> blocks((points_ + grain - 1) / grain);
  parallel_ranges(threads, points_, grain, [&](std::int64_t begin, std::int64_t end) {
    embed_block(features, layout, scale.data(), begin, end, corner_.data(), barycentric_.data(),
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
