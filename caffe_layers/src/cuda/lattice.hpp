// The permutohedral lattice of all images of a batch, as arrays in device memory.
//
// An image's number is part of its vertices' keys, so one lattice holds all images and none sees another. The
// entries of a vertex keep the order of their points: a result does not depend on what else is in the batch.
#pragma once

#include <cstdint>
#include <utility>

#include "arena.hpp"
#include "backend.hpp"
#include "chunk.hpp"

namespace crfrnn {
namespace cuda {

// A point in the simplices around a vertex, and its barycentric coordinate there.
template <typename T>
struct alignas(2 * sizeof(T)) Entry {
  std::int32_t point;
  T weight;
};

// A corner of a point's simplex: its vertex, -1 for points outside the field, and the barycentric coordinate.
template <typename T>
struct alignas(2 * sizeof(T)) Corner {
  std::int32_t vertex;
  T weight;
};

// The neighbours of a vertex along one axis, -1 where there is none.
struct alignas(8) Link {
  std::int32_t previous;
  std::int32_t next;
};

// Some entries of one vertex, at most kPieceEntries: a vertex of a flat region has as many entries as the
// region has pixels, and a warp, which works on several pieces, waits for the longest.
struct alignas(16) Piece {
  std::int32_t begin;
  std::int32_t end;
  std::int32_t vertex;
  std::int32_t part;  // number of the piece, vertex after vertex; kWhole for all entries of the vertex
};
constexpr std::int32_t kWhole = -1;
constexpr std::int32_t kPieceEntries = 64;

template <typename T>
struct Pieces {
  const std::int32_t* count;
  const Piece* piece;          // by length: those of a warp are as long as each other; partial sums come last
  const std::int32_t* first;   // part of each vertex, and the number of pieces
  const std::int32_t* joins;   // number of vertices of several pieces
  const std::int32_t* joined;  // which these are, in any order
  const Entry<T>* entry;
};

struct Counts {
  std::int32_t vertices;
  std::int32_t pieces;
  std::int32_t joins;  // vertices of several pieces
};

// Arrays in device memory; the sizes there, not here, are how much of them is used.
template <typename T>
struct Lattice {
  std::int64_t points;
  std::int64_t entries;  // points x corners
  std::int64_t most_vertices;
  std::int64_t most_pieces;
  int corners;
  int key_bits;

  Counts* counts;
  Corner<T>* corner;  // points x corners
  Entry<T>* entry;    // sorted by vertex, then by point
  Piece* piece;
  std::int32_t* first_piece;  // of each vertex
  std::int32_t* joined;       // the vertices of several pieces
  Link* link;                 // corners x most_vertices
  T* before;                  // factor per point before splatting, or null for 1
  T* after;                   // factor per point after slicing, the gain of the lattice included

  std::int64_t most_joins() const { return entries / kPieceEntries; }
  Pieces<T> pieces() const { return {&counts->pieces, piece, first_piece, &counts->joins, joined, entry}; }
};

// Rows of the vertices and a second set of the same size, exchanged by every step that cannot work in place.
template <typename T, int W>
struct VertexRows {
  Chunk<T, W>* now;
  Chunk<T, W>* other;  // room for most_pieces rows
  void exchange() { std::swap(now, other); }
};

template <typename T, int W>
VertexRows<T, W> lay_out_rows(const Lattice<T>& lattice, int groups, Arena* arena) {
  return {arena->take<Chunk<T, W>>(lattice.most_vertices * groups),
          arena->take<Chunk<T, W>>(lattice.most_pieces * groups)};
}

}  // namespace cuda
}  // namespace crfrnn
