// Gaussian filtering in d dimensions on the permutohedral lattice.
//
// Source: A. Adams, J. Baek, M. A. Davis, "Fast high-dimensional filtering using the permutohedral lattice",
// Eurographics 2010; the scaling of the lattice is that of section 3 there (the blur and the two
// interpolations together have the variance of a unit Gaussian).
#pragma once

#include <cstdint>
#include <vector>

#include "crfrnn/buffer.hpp"
#include "crfrnn/lattice_block.hpp"
#include "crfrnn/limits.hpp"

namespace crfrnn {

// The padded length of a row of `channels` values.
inline std::int64_t row_stride(std::int64_t channels) { return (channels + kLanes - 1) / kLanes * kLanes; }

// The vertices that have a neighbour along one blur axis, chain after chain of neighbours. Vertices without
// one are blurred by leaving them as they are.
template <typename T>
struct BlurAxis {
  Buffer<std::int32_t> order;  // vertices
  Buffer<T> link;              // 0.5 if order[i + 1] is the neighbour of order[i], 0 at the end of a chain
  std::int64_t size() const { return static_cast<std::int64_t>(link.size()); }
};

// The part of the lattice spanned by a set of points, and the three steps of the filter on it.
//
// T is float or double. All methods are const and may be called from several threads at once. The same points
// give the same bits for any number of threads.
template <typename T>
class PermutohedralLattice {
 public:
  // features: points x dimension, row-major, already divided by the standard deviations of the Gaussian.
  // Points that follow each other should lie close to each other: vertices are numbered in the order they are
  // first touched. Throws std::invalid_argument for a dimension outside 1..kMaxDimension, no points, more
  // than 2^31 corners, and for features that are NaN, infinite or too large to be resolved in T.
  PermutohedralLattice(const T* features, std::int64_t points, int dimension, int threads);

  std::int64_t points() const { return points_; }
  std::int64_t vertices() const { return vertices_; }
  int dimension() const { return corners_ - 1; }
  int corners() const { return corners_; }  // of a simplex: dimension + 1

  // How many places values need, see LatticeBlock.
  std::int64_t places() const { return vertices_ + static_cast<std::int64_t>(shared_.size()); }

  // The corners of the simplex around each point, points x corners, the corner of remainder 0 first, as the
  // places that the point's block uses.
  const std::int32_t* corner() const { return corner_.data(); }
  // The barycentric coordinates of each point, points x corners; they sum to 1.
  const T* barycentric() const { return barycentric_.data(); }
  // Where one block ends and the next begins depends on points() only.
  const std::vector<LatticeBlock>& blocks() const { return blocks_; }
  // The vertices that blocks share with earlier ones, block after block.
  const std::vector<std::int32_t>& shared() const { return shared_; }
  // The same by vertex: indices into shared(), in ascending order; one entry more than vertices, as an end
  // mark.
  const std::vector<SharedVertex>& shared_vertices() const { return shared_vertices_; }
  const std::vector<std::int32_t>& shared_place() const { return shared_place_; }
  const std::vector<BlurAxis<T>>& axes() const { return axes_; }

  // What slicing multiplies by, so that a wide Gaussian keeps a constant's sum: 1 / (1 + 2^-d).
  T slice_gain() const { return slice_gain_; }
  // The response of a field of ones at each point (points values, the gain included), blur axes in forward
  // order.
  Buffer<T> ones_response(int threads) const;

  // out = slice(blur(splat(in))): in and out are points x channels, row-major, and may be the same array.
  // With `reverse` the blur axes are taken in reverse order, which makes it the transposed operator.
  void filter(const T* in, T* out, std::int64_t channels, bool reverse, int threads) const;

  // Heap memory held, in bytes.
  std::size_t bytes() const;

 private:
  template <typename Key>
  void build(const T* features, const struct KeyLayout& layout, int threads);
  void index_shared_vertices();

  std::int64_t points_ = 0;
  std::int64_t vertices_ = 0;
  int corners_ = 0;
  T slice_gain_ = 0;
  Buffer<std::int32_t> corner_;
  Buffer<T> barycentric_;
  std::vector<LatticeBlock> blocks_;
  std::vector<std::int32_t> shared_;
  std::vector<SharedVertex> shared_vertices_;
  std::vector<std::int32_t> shared_place_;
  std::vector<BlurAxis<T>> axes_;
};

extern template class PermutohedralLattice<float>;
extern template class PermutohedralLattice<double>;

}  // namespace crfrnn
