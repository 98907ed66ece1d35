// Passes over all points of a field, from vertex rows to point rows and back: splat, blur, mix, slice.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "arena.hpp"
#include "backend.hpp"
#include "lattice.hpp"
#include "rows.hpp"

namespace crfrnn {
namespace cuda {

// How rows of `channels` are cut into chunks and shared among lanes.
struct RowShape {
  explicit RowShape(std::int64_t channels)
      : channels(static_cast<int>(channels)), groups((static_cast<int>(channels) + kChunk - 1) / kChunk) {
    while (width < groups && width < Lanes::kWidest) width *= 2;
  }
  int channels;
  int groups;
  int width = 1;  // lanes
};

template <typename T>
std::vector<VertexRows<T, kChunk>> lay_out_vertex_rows(const std::vector<Lattice<T>>& lattices, int groups,
                                                       Arena* arena) {
  std::vector<VertexRows<T, kChunk>> rows;
  for (const Lattice<T>& lattice : lattices) rows.push_back(lay_out_rows<T, kChunk>(lattice, groups, arena));
  return rows;
}

template <typename T, int W>
void splat(const Backend& backend, const std::vector<Lattice<T>>& lattices, const Chunk<T, W>* in,
           const std::vector<const T*>& scale, int groups, int width, std::vector<VertexRows<T, W>>* rows) {
  std::vector<Splat<T, W>> splats;
  std::vector<JoinPieces<T, W>> joins;
  std::int64_t items = 0, joined = 0;
  for (std::size_t k = 0; k < lattices.size(); ++k) {
    const VertexRows<T, W>& r = (*rows)[k];
    const Pieces<T> pieces = lattices[k].pieces();
    splats.push_back({pieces, scale[k], in, r.now, r.other, groups});
    joins.push_back({pieces, r.other, r.now, groups, width});
    items = std::max(items, lattices[k].most_pieces);
    joined = std::max(joined, lattices[k].most_joins());
  }
  backend.launch(splats, items, width);
  backend.launch(joins, joined, Lanes::kWidest);
}

// All axes, from rows[k].now to rows[k].now.
template <typename T, int W>
void blur(const Backend& backend, const std::vector<Lattice<T>>& lattices, bool reverse, int groups,
          int width, std::vector<VertexRows<T, W>>* rows) {
  int steps = 0;
  for (const Lattice<T>& lattice : lattices) steps = std::max(steps, lattice.corners);
  for (int step = 0; step < steps; ++step) {
    std::vector<Blur<T, W>> jobs;
    std::int64_t items = 0;
    for (std::size_t k = 0; k < lattices.size(); ++k) {
      const Lattice<T>& lattice = lattices[k];
      if (step >= lattice.corners) continue;
      const int axis = reverse ? lattice.corners - 1 - step : step;
      VertexRows<T, W>& r = (*rows)[k];
      jobs.push_back(
          {&lattice.counts->vertices, lattice.link + axis * lattice.most_vertices, r.now, r.other, groups});
      r.exchange();
      items = std::max(items, lattice.most_vertices);
    }
    backend.launch(jobs, items, width);
  }
}

template <typename T>
void mix(const Backend& backend, const std::vector<Lattice<T>>& lattices,
         const std::vector<Chunk<T>*>& matrices, const RowShape& shape,
         std::vector<VertexRows<T, kChunk>>* rows) {
  std::vector<Mix<T>> jobs;
  std::int64_t items = 0;
  for (std::size_t k = 0; k < lattices.size(); ++k) {
    VertexRows<T, kChunk>& r = (*rows)[k];
    jobs.push_back({&lattices[k].counts->vertices, matrices[k], r.now, r.other, shape.groups});
    r.exchange();
    items = std::max(items, lattices[k].most_vertices / Mix<T>::kRows + 1);
  }
  backend.launch(jobs, items, shape.width);
}

// What Update gets beside the terms.
template <typename T>
struct UpdateArrays {
  Finish finish = Finish::kNothing;
  const Chunk<T>* start = nullptr;
  const Chunk<T>* q = nullptr;
  const std::int32_t* was_relu = nullptr;
  Chunk<T>* total = nullptr;
  Chunk<T>* out = nullptr;
};

template <typename T, int kPerLane>
void update_with(const Backend& backend, const std::vector<SliceTerm<T>>& terms,
                 const UpdateArrays<T>& arrays, std::int64_t points, const RowShape& shape) {
  std::vector<Update<T, kPerLane>> job(1);
  std::copy(terms.begin(), terms.end(), job[0].term);
  job[0].terms = static_cast<int>(terms.size());
  job[0].finish = arrays.finish;
  job[0].start = arrays.start;
  job[0].q = arrays.q;
  job[0].was_relu = arrays.was_relu;
  job[0].total = arrays.total;
  job[0].out = arrays.out;
  job[0].points = points;
  job[0].groups = shape.groups;
  backend.launch(job, points, shape.width);
}

template <typename T>
void update(const Backend& backend, const std::vector<SliceTerm<T>>& terms, const UpdateArrays<T>& arrays,
            std::int64_t points, const RowShape& shape) {
  constexpr int kMany = 8, kMost = kMaxClasses / kChunk / Lanes::kWidest;
  if (shape.groups <= shape.width) {
    update_with<T, 1>(backend, terms, arrays, points, shape);
  } else if (shape.groups <= kMany * shape.width) {
    update_with<T, kMany>(backend, terms, arrays, points, shape);
  } else {
    update_with<T, kMost>(backend, terms, arrays, points, shape);
  }
}

template <typename T>
std::vector<SliceTerm<T>> slice_terms(const std::vector<Lattice<T>>& lattices,
                                      const std::vector<VertexRows<T, kChunk>>& rows,
                                      const std::vector<const T*>& scale) {
  std::vector<SliceTerm<T>> terms;
  for (std::size_t k = 0; k < lattices.size(); ++k) {
    terms.push_back({lattices[k].corner, scale[k], rows[k].now, lattices[k].corners});
  }
  return terms;
}

template <typename T>
std::vector<const T*> before(const std::vector<Lattice<T>>& lattices) {
  std::vector<const T*> factors;
  for (const Lattice<T>& lattice : lattices) factors.push_back(lattice.before);
  return factors;
}

template <typename T>
std::vector<const T*> after(const std::vector<Lattice<T>>& lattices) {
  std::vector<const T*> factors;
  for (const Lattice<T>& lattice : lattices) factors.push_back(lattice.after);
  return factors;
}

struct Fill {
  std::int32_t* to;
  std::int32_t value;
  std::int64_t count;
  CRFRNN_DEVICE std::int64_t size() const { return count; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t i) const { to[i] = value; }
};

}  // namespace cuda
}  // namespace crfrnn
