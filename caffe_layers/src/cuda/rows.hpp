// Jobs on rows of channels, one row for each point or vertex: splat, blur, class mixing, slice with soft-max,
// and the outer products of their gradients.
//
// The lanes of an item share its row: each takes every width-th chunk, so that a warp reads whole rows.
#pragma once

#include <cmath>
#include <cstdint>

#include "backend.hpp"
#include "lattice.hpp"

namespace crfrnn {
namespace cuda {

// Terms of a sum whose rows are loaded before the first is added: the loads' latencies overlap.
constexpr int kInFlight = 8;

// Splat: per piece the sum of weight * (scale ? scale[point] : 1) * in[point], in null standing for ones.
// The sum of a vertex's only piece goes to out[vertex], others to part[piece.part].
template <typename T, int W>
struct Splat {
  Pieces<T> pieces;
  const T* scale;
  const Chunk<T, W>* in;
  Chunk<T, W>* out;
  Chunk<T, W>* part;
  int groups;

  CRFRNN_DEVICE std::int64_t size() const { return *pieces.count; }
  CRFRNN_DEVICE void operator()(const Lanes& lanes, std::int64_t item) const {
    const Piece piece = pieces.piece[item];
    Chunk<T, W>* to = piece.part == kWhole ? out + static_cast<std::int64_t>(piece.vertex) * groups
                                           : part + static_cast<std::int64_t>(piece.part) * groups;
    const std::int32_t begin = piece.begin, end = piece.end;
    for (int g = lanes.lane(); g < groups; g += lanes.width()) {
      Chunk<T, W> sum = filled<T, W>(T(0));
      for (std::int32_t e = begin; e < end; e += kInFlight) {
        Entry<T> entry[kInFlight];
        Chunk<T, W> x[kInFlight];
        CRFRNN_UNROLL
        for (int i = 0; i < kInFlight; ++i) entry[i] = pieces.entry[e + i < end ? e + i : end - 1];
        CRFRNN_UNROLL
        for (int i = 0; i < kInFlight; ++i) {
          x[i] = in ? chunk_at(in, entry[i].point, groups, g) : filled<T, W>(T(1));
          if (scale) entry[i].weight *= scale[entry[i].point];
        }
        CRFRNN_UNROLL
        for (int i = 0; i < kInFlight; ++i) {
          if (e + i < end) add_scaled(&sum, entry[i].weight, x[i]);
        }
      }
      to[g] = sum;
    }
  }
};

// The second half of the splat: the sums of vertices of several pieces, of which a flat image's vertex has
// thousands. Teams of lanes that hold a row share the pieces.
template <typename T, int W>
struct JoinPieces {
  Pieces<T> pieces;
  const Chunk<T, W>* part;
  Chunk<T, W>* out;
  int groups;
  int row_lanes;  // that hold a row, a power of two

  CRFRNN_DEVICE std::int64_t size() const { return *pieces.joins; }
  CRFRNN_DEVICE void operator()(const Lanes& lanes, std::int64_t item) const {
    const std::int32_t vertex = pieces.joined[item];
    const std::int32_t begin = pieces.first[vertex], end = pieces.first[vertex + 1];
    const int team = row_lanes < lanes.width() ? row_lanes : lanes.width();
    const int share = lanes.lane() / team, shares = lanes.width() / team;
    for (int first = 0; first < groups; first += team) {
      const int g = first + lanes.lane() % team;
      Chunk<T, W> sum = filled<T, W>(T(0));
      for (std::int32_t piece = begin + share; g < groups && piece < end; piece += kInFlight * shares) {
        Chunk<T, W> x[kInFlight];
        CRFRNN_UNROLL
        for (int i = 0; i < kInFlight; ++i) {
          const std::int32_t at = piece + i * shares;
          x[i] = at < end ? chunk_at(part, at, groups, g) : filled<T, W>(T(0));
        }
        CRFRNN_UNROLL
        for (int i = 0; i < kInFlight; ++i) add_scaled(&sum, T(1), x[i]);
      }
      for (int k = 0; k < W; ++k) sum.v[k] = lanes.sum(sum.v[k], team);
      if (g < groups && share == 0) out[static_cast<std::int64_t>(vertex) * groups + g] = sum;
    }
  }
};

// One axis of the blur: out = in + (in of the previous neighbour + in of the next) / 2.
template <typename T, int W>
struct Blur {
  const std::int32_t* vertices;
  const Link* link;
  const Chunk<T, W>* in;
  Chunk<T, W>* out;
  int groups;

  CRFRNN_DEVICE std::int64_t size() const { return *vertices; }
  CRFRNN_DEVICE void operator()(const Lanes& lanes, std::int64_t vertex) const {
    const Link at = link[vertex];
    for (int g = lanes.lane(); g < groups; g += lanes.width()) {
      Chunk<T, W> sum = in[vertex * groups + g];
      if (at.previous >= 0) {
        add_scaled(&sum, T(0.5), chunk_at(in, at.previous, groups, g));
      }
      if (at.next >= 0) add_scaled(&sum, T(0.5), chunk_at(in, at.next, groups, g));
      out[vertex * groups + g] = sum;
    }
  }
};

// out = in * matrix for kRows vertices at a time; matrix: kChunk * groups rows, input channel major.
template <typename T>
struct Mix {
  static constexpr int kRows = 4;
  const std::int32_t* vertices;
  const Chunk<T>* matrix;
  const Chunk<T>* in;
  Chunk<T>* out;
  int groups;

  CRFRNN_DEVICE std::int64_t size() const { return (*vertices + std::int64_t{kRows} - 1) / kRows; }
  CRFRNN_DEVICE void operator()(const Lanes& lanes, std::int64_t item) const {
    const std::int64_t first = item * kRows, last = *vertices - 1;
    const Chunk<T>* row[kRows];
    for (int r = 0; r < kRows; ++r) row[r] = in + (first + r < last ? first + r : last) * groups;
    for (int g = lanes.lane(); g < groups; g += lanes.width()) {
      Chunk<T> sum[kRows];
      for (int r = 0; r < kRows; ++r) sum[r] = filled<T, kChunk>(T(0));
      for (int c = 0; c < groups; ++c) {
        Chunk<T> x[kRows];
        for (int r = 0; r < kRows; ++r) x[r] = row[r][c];
        for (int k = 0; k < kChunk; ++k) {
          const Chunk<T> m = matrix[static_cast<std::int64_t>(c * kChunk + k) * groups + g];
          for (int r = 0; r < kRows; ++r) add_scaled(&sum[r], x[r].v[k], m);
        }
      }
      for (int r = 0; r < kRows; ++r) {
        if (first + r <= last) out[(first + r) * groups + g] = sum[r];
      }
    }
  }
};

// One kernel's contribution to a point: scale[p] * sum over its corners of weight * rows[vertex]; scale null
// for 1.
template <typename T>
struct SliceTerm {
  const Corner<T>* corner;
  const T* scale;
  const Chunk<T>* rows;
  int corners;
};

// What Update does with the sum s of start and the terms.
enum class Finish {
  kNothing,   // out = s
  kSoftmax,   // out = soft-max of s
  kRelu,      // out = max(0, s)
  kGradient,  // out = q * (s - <q, s>), or with *was_relu s where q > 0, else 0; and total, if given, += out
};

// Slice, and all that comes after it per point. kPerLane: the most chunks that fall to a lane.
template <typename T, int kPerLane>
struct Update {
  static constexpr bool kNeighboursTogether = true;  // points of a tile share vertices
  static constexpr int kShare = kPerLane * Lanes::kTogether;
  SliceTerm<T> term[kMaxKernels];
  int terms;
  Finish finish;
  const Chunk<T>* start;  // or null
  const Chunk<T>* q;
  const std::int32_t* was_relu;  // for gradients: the activation of the forward pass
  Chunk<T>* total;               // or null
  Chunk<T>* out;
  std::int64_t points;
  int groups;

  CRFRNN_DEVICE std::int64_t size() const { return points; }
  CRFRNN_DEVICE void operator()(const Lanes& lanes, std::int64_t point) const {
    const std::int64_t row = point * groups;
    Chunk<T> s[kShare];
    for_chunks(lanes, [&](int i, int g) { s[i] = slice(point, g); });
    if (finish == Finish::kSoftmax) softmax(lanes, s);
    if (finish == Finish::kRelu) relu(lanes, s);
    if (finish == Finish::kGradient) {
      if (*was_relu) {
        relu_gradient(lanes, row, s);
      } else {
        softmax_gradient(lanes, row, s);
      }
    }
    for_chunks(lanes, [&](int i, int g) {
      out[row + g] = s[i];
      if (total) add_scaled(&total[row + g], T(1), s[i]);
    });
  }

 private:
  CRFRNN_DEVICE Chunk<T> slice(std::int64_t point, int g) const {
    Chunk<T> sum = start ? start[point * groups + g] : filled<T, kChunk>(T(0));
    if (terms == 2 && term[0].corners == 3 && term[1].corners == 6) {
      add_both<3, 6>(point, g, &sum);
      return sum;
    }
    for (int k = 0; k < terms; ++k) {
      const SliceTerm<T>& t = term[k];
      const Corner<T>* corner = t.corner + point * t.corners;
      Chunk<T> sliced = filled<T, kChunk>(T(0));
      if (t.corners == 3) {
        add_corners<3>(corner, t.rows, g, &sliced);
      } else if (t.corners == 6) {
        add_corners<6>(corner, t.rows, g, &sliced);
      } else {
        for (int j = 0; j < t.corners; ++j) add_corners<1>(corner + j, t.rows, g, &sliced);
      }
      add_scaled(&sum, t.scale ? t.scale[point] : T(1), sliced);
    }
    return sum;
  }

  template <int kCorners>
  CRFRNN_DEVICE void add_corners(const Corner<T>* corner, const Chunk<T>* rows, int g, Chunk<T>* sum) const {
    Corner<T> at[kCorners];
    Chunk<T> x[kCorners];
    CRFRNN_UNROLL
    for (int j = 0; j < kCorners; ++j) at[j] = corner[j];
    if (at[0].vertex < 0) return;
    CRFRNN_UNROLL
    for (int j = 0; j < kCorners; ++j) x[j] = chunk_at(rows, at[j].vertex, groups, g);
    CRFRNN_UNROLL
    for (int j = 0; j < kCorners; ++j) add_scaled(sum, at[j].weight, x[j]);
  }

  // What the loop over the terms does, for the paper's two kernels: all of their rows are on their way before
  // the first is added.
  template <int kFirst, int kSecond>
  CRFRNN_DEVICE void add_both(std::int64_t point, int g, Chunk<T>* sum) const {
    constexpr int kAll = kFirst + kSecond;
    Corner<T> at[kAll];
    Chunk<T> x[kAll];
    CRFRNN_UNROLL
    for (int j = 0; j < kFirst; ++j) at[j] = term[0].corner[point * kFirst + j];
    CRFRNN_UNROLL
    for (int j = 0; j < kSecond; ++j) at[kFirst + j] = term[1].corner[point * kSecond + j];
    CRFRNN_UNROLL
    for (int j = 0; j < kAll; ++j) {
      const Chunk<T>* rows = term[j < kFirst ? 0 : 1].rows;
      x[j] = at[j].vertex < 0 ? filled<T, kChunk>(T(0)) : chunk_at(rows, at[j].vertex, groups, g);
    }
    CRFRNN_UNROLL
    for (int k = 0; k < 2; ++k) {
      Chunk<T> sliced = filled<T, kChunk>(T(0));
      CRFRNN_UNROLL
      for (int j = k ? kFirst : 0; j < (k ? kAll : kFirst); ++j) add_scaled(&sliced, at[j].weight, x[j]);
      add_scaled(sum, term[k].scale ? term[k].scale[point] : T(1), sliced);
    }
  }

  // The padding of `start` is -inf, which makes that of the result 0.
  CRFRNN_DEVICE void softmax(const Lanes& lanes, Chunk<T>* s) const {
    T top = -kInfinity<T>;
    for_chunks(lanes, [&](int i, int) {
      for (int k = 0; k < kChunk; ++k) top = s[i].v[k] > top ? s[i].v[k] : top;
    });
    top = lanes.max(top);
    T sum = 0;
    for_chunks(lanes, [&](int i, int) {
      for (int k = 0; k < kChunk; ++k) {
        s[i].v[k] = exp(s[i].v[k] - top);
        sum += s[i].v[k];
      }
    });
    const T factor = T(1) / lanes.sum(sum);
    for_chunks(lanes, [&](int i, int) {
      for (int k = 0; k < kChunk; ++k) s[i].v[k] *= factor;
    });
  }

  CRFRNN_DEVICE void relu(const Lanes& lanes, Chunk<T>* s) const {
    for_chunks(lanes, [&](int i, int) {
      for (int k = 0; k < kChunk; ++k) s[i].v[k] = s[i].v[k] < T(0) ? T(0) : s[i].v[k];  // keeps NaN
    });
  }

  CRFRNN_DEVICE void relu_gradient(const Lanes& lanes, std::int64_t row, Chunk<T>* s) const {
    for_chunks(lanes, [&](int i, int g) {
      const Chunk<T> at = q[row + g];
      for (int k = 0; k < kChunk; ++k) s[i].v[k] = at.v[k] > T(0) ? s[i].v[k] : T(0);
    });
  }

  CRFRNN_DEVICE void softmax_gradient(const Lanes& lanes, std::int64_t row, Chunk<T>* s) const {
    T dot = 0;
    for_chunks(lanes, [&](int i, int g) {
      const Chunk<T> at = q[row + g];
      for (int k = 0; k < kChunk; ++k) dot += at.v[k] * s[i].v[k];
    });
    dot = lanes.sum(dot);
    for_chunks(lanes, [&](int i, int g) {
      const Chunk<T> at = q[row + g];
      for (int k = 0; k < kChunk; ++k) s[i].v[k] = at.v[k] * (s[i].v[k] - dot);
    });
  }

  // Calls f(i, chunk of the row) for the chunks of this lane: unrolled, so that s stays in registers.
  template <typename F>
  CRFRNN_DEVICE void for_chunks(const Lanes& lanes, const F& f) const {
    CRFRNN_UNROLL
    for (int i = 0; i < kShare; ++i) {
      const int g = i * lanes.width() + lanes.lane();
      if (g < groups) f(i, g);
    }
  }
};

// part[i] (+)= sum over the i-th share of the vertices of y[v] x[v]^T, a kChunk x kChunk tile per item.
template <typename T>
struct OuterProducts {
  const std::int32_t* vertices;
  const Chunk<T>* y;
  const Chunk<T>* x;
  Chunk<T>* part;  // parts x (kChunk * groups) x groups
  int parts;
  int groups;
  bool add;

  CRFRNN_DEVICE std::int64_t size() const { return static_cast<std::int64_t>(parts) * groups * groups; }
  CRFRNN_DEVICE void operator()(const Lanes&, std::int64_t item) const {
    const std::int64_t column = item % groups, row = item / groups % groups, i = item / groups / groups;
    const std::int64_t share = (*vertices + std::int64_t{parts} - 1) / parts;
    const std::int64_t begin = i * share;
    const std::int64_t end = begin + share < *vertices ? begin + share : *vertices;
    Chunk<T>* tile = part + (i * groups + row) * kChunk * groups + column;
    Chunk<T> sum[kChunk];
    for (int k = 0; k < kChunk; ++k) sum[k] = add ? tile[k * groups] : filled<T, kChunk>(T(0));
    for (std::int64_t v = begin; v < end; ++v) {
      const Chunk<T> ys = y[v * groups + row], xs = x[v * groups + column];
      for (int k = 0; k < kChunk; ++k) add_scaled(&sum[k], ys.v[k], xs);
    }
    for (int k = 0; k < kChunk; ++k) tile[k * groups] = sum[k];
  }
};

}  // namespace cuda
}  // namespace crfrnn
