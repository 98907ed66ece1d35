// Sizes that the public headers and the kernels share.
#pragma once

namespace crfrnn {

// Channels are handled in groups of this many: rows of values are padded to a multiple of it.
constexpr int kLanes = 8;

// Largest dimension of the feature space.
constexpr int kMaxDimension = 32;

}  // namespace crfrnn
