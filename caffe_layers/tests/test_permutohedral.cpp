// What the lattice of a set of points is made of.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "crfrnn/permutohedral.hpp"
#include "plain_lattice.hpp"
#include "testing.hpp"

using crfrnn::PermutohedralLattice;
using testing::random_values;

namespace {

template <typename T>
void check_vertices(int d) {
  const std::int64_t points = 400;
  const std::vector<T> features = random_values<T>(points * d, 2.0, 1);
  const PermutohedralLattice<T> lattice(features.data(), points, d, 2);
  const testing::PlainLattice plain(features.data(), points, d);
  CHECK(lattice.points() == points && lattice.dimension() == d && lattice.corners() == d + 1);
  CHECK(lattice.vertices() == plain.vertices());
  for (std::int64_t p = 0; p < points; ++p) {
    const testing::PlainSimplex simplex = testing::plain_simplex(features.data() + p * d, d);
    const T* weight = lattice.barycentric() + p * (d + 1);
    CHECK_CLOSE(std::vector<T>(weight, weight + d + 1), simplex.weights, sizeof(T) == 4 ? 1e-4 : 1e-12);
  }
}

template <typename T>
void check_axes(int d, double spread) {
  const std::int64_t points = 5000;
  const std::vector<T> features = random_values<T>(points * d, spread, 1);
  const PermutohedralLattice<T> lattice(features.data(), points, d, 2);
  CHECK(static_cast<int>(lattice.axes().size()) == d + 1);
  for (const crfrnn::BlurAxis<T>& axis : lattice.axes()) {
    std::vector<int> seen(lattice.vertices(), 0);
    for (std::int64_t k = 0; k < axis.size(); ++k) ++seen[axis.order[k]];
    CHECK(*std::max_element(seen.begin(), seen.end()) <= 1);
    CHECK(axis.size() == 0 || axis.link[axis.size() - 1] == T(0));
    for (std::int64_t k = 0; k < axis.size(); ++k) {  // no vertex without a neighbour is listed
      CHECK(axis.link[k] != T(0) || (k > 0 && axis.link[k - 1] != T(0)));
    }
  }
}

// Blocks cover the points and own the vertices, each once; what they share are vertices of earlier blocks.
template <typename T>
void check_blocks(const PermutohedralLattice<T>& lattice) {
  const int corners = lattice.corners();
  std::int64_t next_point = 0;
  std::int32_t next_vertex = 0, next_shared = 0;
  CHECK(lattice.blocks().size() > 1);
  for (const crfrnn::LatticeBlock& block : lattice.blocks()) {
    CHECK(block.first_point == next_point && block.points > 0);
    CHECK(block.first_vertex == next_vertex && block.first_shared == next_shared);
    std::vector<char> touched(block.own + block.shares, 0);
    const std::int64_t ghosts = lattice.vertices() + block.first_shared;
    bool in_range = true;
    for (std::int64_t e = block.first_point * corners; e < (block.first_point + block.points) * corners;
         ++e) {
      const std::int64_t at = lattice.corner()[e];
      const bool own = at >= block.first_vertex && at < block.first_vertex + block.own;
      in_range = in_range && (own || (at >= ghosts && at < ghosts + block.shares));
      if (in_range) touched[own ? at - block.first_vertex : block.own + at - ghosts] = 1;
    }
    CHECK(in_range);
    CHECK(std::count(touched.begin(), touched.end(), 0) == 0);
    for (std::int32_t s = 0; s < block.shares; ++s) {
      CHECK(lattice.shared()[block.first_shared + s] < block.first_vertex);
    }
    next_point += block.points;
    next_vertex += block.own;
    next_shared += block.shares;
  }
  CHECK(next_point == lattice.points() && next_vertex == lattice.vertices());
  CHECK(next_shared == static_cast<std::int32_t>(lattice.shared().size()));
  CHECK(lattice.places() == lattice.vertices() + next_shared);
}

// Listing what is shared by vertex loses nothing.
template <typename T>
void check_shared_vertices(const PermutohedralLattice<T>& lattice) {
  const auto& vertices = lattice.shared_vertices();
  CHECK(lattice.shared_place().size() == lattice.shared().size());
  CHECK(vertices.back().first_place == static_cast<std::int32_t>(lattice.shared().size()));
  for (std::size_t i = 0; i + 1 < vertices.size(); ++i) {
    for (std::int32_t p = vertices[i].first_place; p < vertices[i + 1].first_place; ++p) {
      CHECK(lattice.shared()[lattice.shared_place()[p]] == vertices[i].vertex);
      CHECK(p == vertices[i].first_place || lattice.shared_place()[p - 1] < lattice.shared_place()[p]);
    }
  }
}

}  // namespace

TEST(a_lattice_has_the_vertices_of_the_plain_one) {
  for (int d : {1, 2, 3, 5}) {
    check_vertices<float>(d);
    check_vertices<double>(d);
  }
}

TEST(blur_axes_list_vertices_once_in_chains) {
  for (int d : {1, 2, 3, 5, 8, 16, 17, 32}) {
    check_axes<float>(d, 2.0);
    check_axes<double>(d, 100.0);
  }
}

TEST(blocks_divide_points_and_vertices) {
  for (int d : {1, 2, 5, 16, 32}) {
    const std::int64_t points = 9000;
    const std::vector<float> features = random_values<float>(points * d, 2.0, 16);
    const PermutohedralLattice<float> lattice(features.data(), points, d, 2);
    check_blocks(lattice);
    check_shared_vertices(lattice);
  }
}

TEST(bad_features_are_named) {
  std::vector<float> features(40, 0.5f);
  const auto build = [&](int dimension) {
    return testing::message_of([&] {
      PermutohedralLattice<float>(features.data(), static_cast<std::int64_t>(features.size()) / 2, dimension,
                                  1);
    });
  };
  CHECK(build(2).empty());
  CHECK(testing::contains(build(0), "1 to 32 dimensions, got 0"));
  CHECK(testing::contains(build(33), "1 to 32 dimensions, got 33"));
  features[7] = std::numeric_limits<float>::quiet_NaN();
  CHECK(testing::contains(build(2), "feature 1 of point 3"));
  features[7] = 1e30f;
  CHECK(testing::contains(build(2), "float32 resolves"));
  CHECK(testing::contains(testing::message_of([&] { PermutohedralLattice<float>(features.data(), 0, 2, 1); }),
                          "at least one point"));
  CHECK(testing::contains(
      testing::message_of([&] { PermutohedralLattice<float>(features.data(), 1'000'000'000, 2, 1); }),
      "too many for 32-bit vertex numbers"));
}
