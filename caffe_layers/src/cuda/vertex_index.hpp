// Jobs on the sorted keys of all corners: vertices, their pieces, and who their neighbours are.
//
// Vertices are numbered in the order of their keys, in which the neighbours of neighbouring vertices along an
// axis are neighbours, too.
#pragma once

#include <cstdint>

#include "backend.hpp"
#include "embed.hpp"
#include "lattice.hpp"

namespace crfrnn {
namespace cuda {

// 1 at the first entry of every vertex.
template <typename T>
struct MarkVertices {
  BuildArrays<T> build;
  std::int64_t entries;
  CRFRNN_DEVICE std::int64_t size() const { return entries; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t e) const {
    const std::uint64_t* keys = build.keys[0];
    build.vertex[e] = keys[e] != kNoKey && (e == 0 || keys[e] != keys[e - 1]) ? 1 : 0;
  }
};

template <typename T>
struct NumberVertices {
  BuildArrays<T> build;
  Lattice<T> lattice;
  CRFRNN_DEVICE std::int64_t size() const { return lattice.entries; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t e) const {
    const std::uint64_t key = build.keys[0][e];
    if (key == kNoKey) return;
    const std::int32_t vertex = build.vertex[e] - 1;
    const std::uint32_t of = build.entry_of[0][e];
    const T weight = build.barycentric[of];
    lattice.corner[of] = {vertex, weight};
    lattice.entry[e] = {static_cast<std::int32_t>(of / static_cast<std::uint32_t>(lattice.corners)), weight};
    if (e == 0 || key != build.keys[0][e - 1]) {
      build.begin[vertex] = static_cast<std::int32_t>(e);
      build.vertex_key[vertex] = key;
    }
    if (e + 1 == lattice.entries || build.keys[0][e + 1] == kNoKey) {
      build.begin[vertex + 1] = static_cast<std::int32_t>(e + 1);
      lattice.counts->vertices = vertex + 1;
    }
  }
};

// first_piece[v + 1] = number of pieces of vertex v.
template <typename T>
struct CountPieces {
  BuildArrays<T> build;
  Lattice<T> lattice;
  CRFRNN_DEVICE std::int64_t size() const { return lattice.most_vertices; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t vertex) const {
    std::int32_t entries = 0;
    if (vertex < lattice.counts->vertices) entries = build.begin[vertex + 1] - build.begin[vertex];
    lattice.first_piece[vertex + 1] = (entries + kPieceEntries - 1) / kPieceEntries;
    if (vertex == 0) lattice.first_piece[0] = 0;
  }
};

// What the pieces of a vertex are sorted by, and vertices of several pieces: these in an order that depends
// on timing, but nothing that is computed depends on it. Keys, entry_of and vertex are free by now.
template <typename T>
struct CutPieces {
  static constexpr int kWidth = 4;
  BuildArrays<T> build;
  Lattice<T> lattice;
  CRFRNN_DEVICE std::int64_t size() const { return lattice.counts->vertices; }
  CRFRNN_DEVICE void operator()(const Lanes& lanes, std::int64_t item) const {
    const auto vertex = static_cast<std::int32_t>(item);
    const std::int32_t begin = build.begin[vertex], end = build.begin[vertex + 1];
    const std::int32_t first = lattice.first_piece[vertex], count = lattice.first_piece[vertex + 1] - first;
    for (std::int32_t i = lanes.lane(); i < count; i += lanes.width()) {
      const std::int32_t length = i + 1 < count ? kPieceEntries : end - begin - i * kPieceEntries;
      build.keys[0][first + i] = static_cast<std::uint64_t>(length);
      build.entry_of[0][first + i] = static_cast<std::uint32_t>(first + i);
      build.vertex[first + i] = vertex;
    }
    if (lanes.lane() != 0) return;
    if (vertex + 1 == lattice.counts->vertices) lattice.counts->pieces = first + count;
    if (count > 1) lattice.joined[atomic_add(&lattice.counts->joins, 1)] = vertex;
  }
};

// Lets all but the pieces that there are come last when they are sorted.
template <typename T>
struct PadPieces {
  BuildArrays<T> build;
  Lattice<T> lattice;
  CRFRNN_DEVICE std::int64_t size() const { return lattice.most_pieces; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t i) const {
    if (i < lattice.counts->pieces) return;
    build.keys[0][i] = kPieceEntries + 1;
    build.entry_of[0][i] = 0;
  }
};
constexpr int kPieceKeyBits = 7;
static_assert(kPieceEntries + 1 < 1 << kPieceKeyBits, "the keys of pieces");

// The pieces in the order in which they were sorted.
template <typename T>
struct OrderPieces {
  BuildArrays<T> build;
  Lattice<T> lattice;
  CRFRNN_DEVICE std::int64_t size() const { return lattice.counts->pieces; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t i) const {
    const auto part = static_cast<std::int32_t>(build.entry_of[0][i]);
    const std::int32_t vertex = build.vertex[part], first = lattice.first_piece[vertex];
    const std::int32_t at = build.begin[vertex] + (part - first) * kPieceEntries;
    const std::int32_t rest = build.begin[vertex + 1] - at;
    const bool whole = lattice.first_piece[vertex + 1] - first == 1;
    lattice.piece[i] = {at, at + (rest < kPieceEntries ? rest : kPieceEntries), vertex,
                        whole ? kWhole : part};
  }
};

template <typename T>
struct ClearLinks {
  Lattice<T> lattice;
  CRFRNN_DEVICE std::int64_t size() const { return lattice.counts->vertices; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t vertex) const {
    for (int axis = 0; axis < lattice.corners; ++axis) {
      lattice.link[axis * lattice.most_vertices + vertex] = {-1, -1};
    }
  }
};

// Finds the next neighbour of every vertex along every axis, and tells it who its previous one is.
template <typename T>
struct LinkNeighbours {
  BuildArrays<T> build;
  Lattice<T> lattice;
  CRFRNN_DEVICE std::int64_t size() const {
    return static_cast<std::int64_t>(lattice.counts->vertices) * lattice.corners;
  }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t item) const {
    const std::int64_t vertices = lattice.counts->vertices;
    const std::int64_t axis = item / vertices;
    const auto vertex = static_cast<std::int32_t>(item % vertices);
    const std::uint64_t wanted = (build.vertex_key[vertex] + build.layout->step[axis]) & kKeyMask;
    std::int32_t low = 0, high = static_cast<std::int32_t>(vertices);  // the first key >= wanted
    while (low < high) {
      const std::int32_t middle = low + (high - low) / 2;
      if (build.vertex_key[middle] < wanted) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    if (low == vertices || build.vertex_key[low] != wanted) return;
    Link* link = lattice.link + axis * lattice.most_vertices;
    link[vertex].next = low;
    link[low].previous = vertex;
  }
};

}  // namespace cuda
}  // namespace crfrnn
