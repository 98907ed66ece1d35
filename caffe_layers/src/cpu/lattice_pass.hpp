// Passes over all points of a field that go from vertex rows to point rows, change these, and go back.
//
// Rows of points live only as long as a block of points is in a core's cache: a pass slices the rows of a
// block, hands them to the caller, and splats what the caller made of them. What blocks share has ghosts
// (see LatticeBlock): they are filled before a block is sliced, and added up after all blocks were splatted,
// in the order of the blocks, so that results do not depend on the number of threads.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "class_matrix.hpp"
#include "crfrnn/parallel.hpp"
#include "crfrnn/permutohedral.hpp"
#include "rows.hpp"

namespace crfrnn {

// Vertices, or points where they are handled one by one, per task.
constexpr std::int64_t kVertexGrain = 1024;

// The first end of a chain at or after position `at`.
template <typename T>
std::int64_t chain_start(const BlurAxis<T>& axis, std::int64_t at) {
  while (at > 0 && at < axis.size() && axis.link[at - 1] != T(0)) ++at;
  return std::min(at, axis.size());
}

inline std::int64_t group_count(std::int64_t stride) { return (stride + kGroup - 1) / kGroup; }
inline std::int64_t group_width(std::int64_t stride, std::int64_t group) {
  return std::min(kGroup, stride - group * kGroup);
}

// One filter's part in a pass.
template <typename T>
struct LatticeTerm {
  const PermutohedralLattice<T>* lattice;
  const T* splat_scale = nullptr;  // per point; null for 1
  const T* slice_scale = nullptr;  // per point; null for slice_gain
  T slice_gain = 1;
};

// Rows of values at the vertices of every term's lattice, and what can be done to them.
template <typename T>
class LatticePass {
 public:
  // All lattices must be over the same points.
  LatticePass(std::vector<LatticeTerm<T>> terms, std::int64_t channels, int threads);

  // Makes the vertex rows the splat of what fill(first point, count, rows) writes: count rows of stride
  // values, the padding as well.
  using Body = std::function<void(std::int64_t, std::int64_t, T*)>;
  void splat(const Body& fill) { run(false, nullptr, fill, true); }

  // Calls use(first point, count, rows) with start (points x stride, null for 0) plus what the terms give.
  void slice(const T* start, const Body& use) { run(true, start, use, false); }

  // Both at once: slices, lets change(first point, count, rows) make new rows of it, and splats these.
  void step(const T* start, const Body& change) { run(true, start, change, true); }

  // Blurs along all axes; in reverse order for the transposed filter.
  void blur(bool reverse);

  // Of every term the vertices' rows: groups x vertices x width.
  using VertexRows = std::vector<Buffer<T>>;

  // What is sliced next are the rows of term k times matrices[k]. Mixing classes commutes with slicing and
  // with the factor per point: it is done where there are fewer rows. `keep`, if given, gets the rows as they
  // were.
  void mix(const std::vector<ClassMatrix<T>>& matrices, VertexRows* keep = nullptr);

  // Makes the rows what `keep` of mix got.
  void restore(const VertexRows& kept);

  // The same, of some channels alone.
  std::unique_ptr<LatticePass> selected(const std::vector<std::int64_t>& channels) const;

  // sums[k] += the channels x channels matrix sum_v y[k][v] x[k][v]^T, y being the rows, in a fixed order.
  void add_outer_products(const VertexRows& x, std::vector<std::vector<double>>* sums) const;

 private:
  // What a block needs while it is worked on.
  struct Scratch {
    Buffer<T> rows;            // points x stride
    Buffer<T> unmixed, mixed;  // the same, if a term mixes at points
  };
  // How the rows of a term are mixed while they are sliced: by a matrix at the points, or by a factor per
  // channel.
  struct Mixing {
    const T* matrix = nullptr;
    const T* factor = nullptr;
  };

  void run(bool slices, const T* start, const Body& change, bool splats);
  Scratch take_scratch(std::int64_t points);
  // The rows of a group, at the first place.
  template <typename Rows>
  auto group_rows(Rows& rows, std::size_t term, std::int64_t group) const {
    return rows[term].data() + group * kGroup * terms_[term].lattice->places();
  }
  // begins: these are the first points of the block.
  void slice_points(std::size_t term, const LatticeBlock& block, std::int64_t first, std::int64_t count,
                    const T* base, bool begins, Scratch* scratch);
  void splat_points(std::size_t term, const LatticeBlock& block, std::int64_t first, std::int64_t count,
                    bool begins, const T* points);
  void merge_shared();
  // Of vertices [begin, end).
  void copy_vertices(std::size_t term, std::int64_t begin, std::int64_t end, T* to) const;
  void mix_vertices(std::size_t term, std::int64_t begin, std::int64_t end, const T* matrix);
  SimplexArgs<T> simplices(std::size_t term, std::int64_t first, std::int64_t count,
                           std::int64_t group) const;

  std::vector<LatticeTerm<T>> terms_;
  std::vector<Mixing> mixing_;  // per term
  std::int64_t channels_;
  std::int64_t stride_;
  std::int64_t groups_;
  int threads_;
  std::vector<Buffer<T>> rows_;  // per term: groups x places x width
  std::vector<Buffer<T>> next_;  // what a splat writes while rows_ is read
  std::mutex mutex_;
  std::vector<Scratch> idle_;  // one for every task that ran at the same time
};

extern template class LatticePass<float>;
extern template class LatticePass<double>;

}  // namespace crfrnn
