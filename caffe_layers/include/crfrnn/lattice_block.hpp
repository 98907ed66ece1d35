// How a lattice is cut into blocks that fit a core's cache.
#pragma once

#include <cstdint>

namespace crfrnn {

// Consecutive points and the vertices around them: so few that rows of values for them stay in a core's
// cache.
//
// Within the block its vertices have numbers of their own: first those that no earlier block touches, which
// are consecutive in the lattice as well, then those it shares with earlier blocks.
struct LatticeBlock {
  std::int64_t first_point;
  std::int64_t points;
  std::int32_t first_vertex;  // of the block's own
  std::int32_t own;
  std::int32_t first_shared;  // place in shared()
  std::int32_t shares;
};

// A vertex that several blocks touch, and where the later ones list it.
struct SharedVertex {
  std::int32_t vertex;
  std::int32_t first_place;  // index into shared_place(); it ends where that of the next shared vertex begins
};

}  // namespace crfrnn
