// Which simplex of the permutohedral lattice a point lies in, for kEmbedPoints points at a time.
//
// Built once per instruction set, always without contraction to fused multiply-adds: points on the border
// between two simplices, which images are full of, must fall to the same side on every processor.
#include "rows.hpp"

namespace crfrnn {
namespace CRFRNN_ISA {
namespace {

constexpr int kN = kEmbedPoints;

// Adding and subtracting 1.5 * 2^(mantissa bits) rounds to the nearest integer, ties to even, in any
// instruction set.
template <typename T>
constexpr T kRound = sizeof(T) == 4 ? T(12582912.0) : T(6755399441055744.0);

template <typename T, int D>
void embed_d(const T* features, int dynamic_d, const T* scale, Simplices<T>* out) {
  const int d = D > 0 ? D : dynamic_d;
  T elevated[(D > 0 ? D : kMaxDimension) + 1][kN];

  // Elevate onto the hyperplane whose coordinates sum to zero (section 3.1).
  T sum[kN] = {};
  for (int j = d; j > 0; --j) {
    for (int l = 0; l < kN; ++l) {
      const T f = features[l * d + j - 1] * scale[j - 1];
      elevated[j][l] = sum[l] - T(j) * f;
      sum[l] += f;
    }
  }
  for (int l = 0; l < kN; ++l) elevated[0][l] = sum[l];

  // The nearest point of remainder 0: round every coordinate to a multiple of d + 1, then repair the sum.
  const T down = T(1) / T(d + 1);
  std::int32_t excess[kN] = {};
  T difference[(D > 0 ? D : kMaxDimension) + 1][kN];
  for (int i = 0; i <= d; ++i) {
    for (int l = 0; l < kN; ++l) {
      const T rounded = (elevated[i][l] * down + kRound<T>)-kRound<T>;
      const std::int32_t whole = static_cast<std::int32_t>(rounded);
      out->at[i].base[l] = whole * (d + 1);
      difference[i][l] = elevated[i][l] - rounded * T(d + 1);
      excess[l] += whole;
      out->at[i].rank[l] = 0;
    }
  }
  for (int i = 0; i < d; ++i) {
    for (int j = i + 1; j <= d; ++j) {
      for (int l = 0; l < kN; ++l) {
        const std::int32_t less = difference[i][l] < difference[j][l] ? 1 : 0;
        out->at[i].rank[l] += less;
        out->at[j].rank[l] += 1 - less;
      }
    }
  }
  for (int i = 0; i <= d; ++i) {
    for (int l = 0; l < kN; ++l) {
      const std::int32_t rank = out->at[i].rank[l] + excess[l];
      const std::int32_t turn = rank < 0 ? d + 1 : (rank > d ? -(d + 1) : 0);
      out->at[i].rank[l] = rank + turn;
      out->at[i].base[l] += turn;
    }
  }

  // Barycentric coordinates are differences of the sorted coordinates (section 3.2).
  T sorted[(D > 0 ? D : kMaxDimension) + 1][kN] = {};
  for (int i = 0; i <= d; ++i) {
    T v[kN];
    for (int l = 0; l < kN; ++l) v[l] = (elevated[i][l] - T(out->at[i].base[l])) * down;
    for (int r = 0; r <= d; ++r) {
      for (int l = 0; l < kN; ++l) sorted[r][l] = out->at[i].rank[l] == r ? v[l] : sorted[r][l];
    }
  }
  for (int l = 0; l < kN; ++l) out->at[0].barycentric[l] = (T(1) - sorted[0][l]) + sorted[d][l];
  for (int k = 1; k <= d; ++k) {
    for (int l = 0; l < kN; ++l) out->at[k].barycentric[l] = sorted[d - k][l] - sorted[d + 1 - k][l];
  }
}

}  // namespace

template <typename T>
void embed(const T* features, int d, const T* scale, Simplices<T>* out) {
  switch (d) {
    case 2:
      return embed_d<T, 2>(features, d, scale, out);
    case 3:
      return embed_d<T, 3>(features, d, scale, out);
    case 5:
      return embed_d<T, 5>(features, d, scale, out);
    default:
      return embed_d<T, 0>(features, d, scale, out);
  }
}

template void embed<float>(const float*, int, const float*, Simplices<float>*);
template void embed<double>(const double*, int, const double*, Simplices<double>*);

}  // namespace CRFRNN_ISA
}  // namespace crfrnn
