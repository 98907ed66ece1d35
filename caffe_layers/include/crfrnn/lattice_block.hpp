// How a lattice is cut into blocks that fit a core's cache.
#pragma once

#include <cstdint>

namespace crfrnn {

// Consecutive points and the vertices around them: so few that rows of values for them stay in a core's
// cache.
//
// Values lie in places: first one for every vertex, then the ghosts, one for every vertex that a block
// shares with earlier ones (as the ghost cells of grids that are cut up). A block reads and writes the places
// of the vertices that it touches first, which are consecutive, and its ghosts, which are, too: no other
// block does, so that blocks need no atomics.
struct LatticeBlock {
  std::int64_t first_point;
  std::int64_t points;
  std::int32_t first_vertex;  // of the block's own
  std::int32_t own;
  std::int32_t first_shared;  // index into shared(); its ghosts begin at the place vertices() + this
  std::int32_t shares;
};

// A vertex that several blocks touch, and where the later ones list it.
struct SharedVertex {
  std::int32_t vertex;
  std::int32_t first_place;  // index into shared_place(); it ends where that of the next shared vertex begins
};

}  // namespace crfrnn
