// The permutohedral lattice as the paper describes it, point by point, in double, with std::map for the
// vertices: slow, short, and sharing no code with the core.
//
// Source: A. Adams, J. Baek, M. A. Davis, "Fast high-dimensional filtering using the permutohedral lattice",
// Eurographics 2010.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <numeric>
#include <vector>

namespace testing {

using Vertex = std::vector<int>;  // d + 1 coordinates that sum to 0

struct PlainSimplex {
  std::vector<Vertex> corners;  // that of remainder r at place r
  std::vector<double> weights;  // barycentric coordinates
};

// Where a feature vector lies on the hyperplane whose d + 1 coordinates sum to 0 (section 3.1).
template <typename T>
std::vector<double> plain_elevated(const T* feature, int d) {
  std::vector<double> at(d + 1, 0.0);
  for (int j = 0; j < d; ++j) {  // column j of the basis: 1 in coordinates 0 to j, -(j + 1) in the next
    const double length =
        (d + 1) * std::sqrt(2.0 / 3.0) / std::sqrt((j + 1.0) * (j + 2.0)) * double(feature[j]);
    for (int i = 0; i <= j; ++i) at[i] += length;
    at[j + 1] -= (j + 1) * length;
  }
  return at;
}

// The enclosing simplex (section 3.2).
template <typename T>
PlainSimplex plain_simplex(const T* feature, int d) {
  const std::vector<double> at = plain_elevated(feature, d);
  Vertex nearest(d + 1);
  for (int i = 0; i <= d; ++i) nearest[i] = static_cast<int>(std::lround(at[i] / (d + 1))) * (d + 1);
  std::vector<int> order(d + 1);  // of the coordinates, by descending distance from the nearest
  std::iota(order.begin(), order.end(), 0);
  const auto sort = [&] {
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return at[a] - nearest[a] > at[b] - nearest[b]; });
  };
  sort();
  for (int sum = std::accumulate(nearest.begin(), nearest.end(), 0) / (d + 1); sum != 0;) {
    nearest[sum > 0 ? order[d + 1 - sum] : order[-sum - 1]] += sum > 0 ? -(d + 1) : d + 1;
    sum += sum > 0 ? -1 : 1;
  }
  sort();
  const auto distance = [&](int place) { return (at[order[place]] - nearest[order[place]]) / (d + 1); };
  PlainSimplex simplex;
  for (int r = 0; r <= d; ++r) {
    Vertex corner = nearest;
    for (int place = 0; place <= d; ++place) corner[order[place]] += place <= d - r ? r : r - (d + 1);
    simplex.corners.push_back(corner);
    simplex.weights.push_back(r == 0 ? 1 - distance(0) + distance(d) : distance(d - r) - distance(d + 1 - r));
  }
  return simplex;
}

class PlainLattice {
 public:
  // features: points x d.
  template <typename T>
  PlainLattice(const T* features, std::int64_t points, int d) : d_(d) {
    for (std::int64_t p = 0; p < points; ++p) {
      simplices_.push_back(plain_simplex(features + p * d, d));
      for (const Vertex& corner : simplices_.back().corners) vertices_.emplace(corner, 0.0);
    }
  }

  std::int64_t points() const { return static_cast<std::int64_t>(simplices_.size()); }
  std::int64_t vertices() const { return static_cast<std::int64_t>(vertices_.size()); }

  // Splat, blur, slice of one value per point.
  std::vector<double> filter(const std::vector<double>& in, bool reverse = false) const {
    std::map<Vertex, double> at = vertices_;
    for (std::size_t p = 0; p < in.size(); ++p) {
      for (int r = 0; r <= d_; ++r) at[simplices_[p].corners[r]] += simplices_[p].weights[r] * in[p];
    }
    for (int step = 0; step <= d_; ++step) at = blurred(at, reverse ? d_ - step : step);
    std::vector<double> out(in.size(), 0.0);
    for (std::size_t p = 0; p < in.size(); ++p) {
      for (int r = 0; r <= d_; ++r) out[p] += simplices_[p].weights[r] * at[simplices_[p].corners[r]];
      out[p] /= 1 + std::pow(2.0, -d_);
    }
    return out;
  }

  // The same for points x channels.
  template <typename T>
  std::vector<double> filter_rows(const std::vector<T>& in, std::int64_t channels,
                                  bool reverse = false) const {
    std::vector<double> out(in.size());
    for (std::int64_t c = 0; c < channels; ++c) {
      std::vector<double> one(points());
      for (std::int64_t p = 0; p < points(); ++p) one[p] = double(in[p * channels + c]);
      one = filter(one, reverse);
      for (std::int64_t p = 0; p < points(); ++p) out[p * channels + c] = one[p];
    }
    return out;
  }

 private:
  std::map<Vertex, double> blurred(const std::map<Vertex, double>& old, int axis) const {
    std::map<Vertex, double> fresh = old;
    for (auto& [vertex, value] : fresh) {
      for (int sign : {-1, 1}) {
        Vertex neighbour = vertex;
        for (int i = 0; i <= d_; ++i) neighbour[i] += sign * (i == axis ? -d_ : 1);
        const auto found = old.find(neighbour);
        if (found != old.end()) value += 0.5 * found->second;
      }
    }
    return fresh;
  }

  int d_;
  std::vector<PlainSimplex> simplices_;
  std::map<Vertex, double> vertices_;
};

}  // namespace testing
