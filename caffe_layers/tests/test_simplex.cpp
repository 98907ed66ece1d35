#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "plain_lattice.hpp"
#include "simplex.hpp"
#include "testing.hpp"

using crfrnn::kEmbedPoints;
using crfrnn::PackedKey;
using crfrnn::WideKey;

namespace {

// Coordinate i of the corner of remainder r of point l.
template <typename T>
int corner_coordinate(const crfrnn::Simplices<T>& s, int d, int r, int i, int l) {
  return s.at[i].base[l] + r - (s.at[i].rank[l] > d - r ? d + 1 : 0);
}

template <typename T>
void check_embedding(int d) {
  const std::vector<T> features = testing::random_values<T>(kEmbedPoints * d, 3, 1);
  crfrnn::Simplices<T> s;
  crfrnn::row_ops<T>().embed(features.data(), d, crfrnn::elevation<T>(d).scale, &s);
  const double most = sizeof(T) == 4 ? 2e-5 : 1e-13;
  for (int l = 0; l < kEmbedPoints; ++l) {
    const testing::PlainSimplex plain = testing::plain_simplex(features.data() + l * d, d);
    const std::vector<double> at = testing::plain_elevated(features.data() + l * d, d);
    std::vector<double> back(d + 1, 0.0);
    for (int r = 0; r <= d; ++r) {
      CHECK(std::abs(s.at[r].barycentric[l] - plain.weights[r]) < most);
      for (int i = 0; i <= d; ++i) {
        const int coordinate = corner_coordinate(s, d, r, i, l);
        CHECK(coordinate == plain.corners[r][i]);
        back[i] += double(s.at[r].barycentric[l]) * coordinate;
      }
    }
    CHECK_CLOSE(back, at, most);  // the corners, so weighted, meet at the point
  }
}

// Corners have equal keys exactly if they are the same vertex, and a blur neighbour is one step away.
template <typename T, typename Key>
void check_corner_keys(int d, double spread) {
  const std::vector<T> features = testing::random_values<T>(kEmbedPoints * d, spread, 2);
  const auto range = crfrnn::feature_range(features.data(), kEmbedPoints, d, 1);
  const auto layout = crfrnn::key_layout(range, crfrnn::elevation<T>(d), d);
  crfrnn::Simplices<T> s;
  crfrnn::row_ops<T>().embed(features.data(), d, crfrnn::elevation<T>(d).scale, &s);
  std::vector<Key> keys(kEmbedPoints * (d + 1));
  crfrnn::CornerKeys<Key>(layout).write(s, kEmbedPoints, keys.data());
  std::map<testing::Vertex, Key> known;
  for (int l = 0; l < kEmbedPoints; ++l) {
    for (int r = 0; r <= d; ++r) {
      testing::Vertex vertex;
      for (int i = 0; i <= d; ++i) vertex.push_back(corner_coordinate(s, d, r, i, l));
      const Key& key = keys[l * (d + 1) + r];
      CHECK(known.emplace(vertex, key).first->second == key);
    }
  }
  for (const auto& [vertex, key] : known) {
    for (const auto& [other, other_key] : known) CHECK((vertex == other) == (key == other_key));
    Key stepped = key;
    for (int j = 0; j < d; ++j) stepped.add(layout, j, j == 0 ? -d : 1);
    testing::Vertex neighbour = vertex;
    for (int i = 0; i <= d; ++i) neighbour[i] += i == 0 ? -d : 1;
    const auto found = known.find(neighbour);
    if (found != known.end()) CHECK(found->second == stepped);
  }
}

}  // namespace

TEST(points_lie_in_the_simplices_of_the_plain_lattice) {
  for (int d : {1, 2, 3, 4, 5, 6, 9, 16, 32}) {
    check_embedding<float>(d);
    check_embedding<double>(d);
  }
}

TEST(keys_stand_for_vertices) {
  for (int d : {1, 2, 3, 5}) {
    check_corner_keys<float, PackedKey>(d, 2);
    check_corner_keys<double, PackedKey>(d, 2);
    check_corner_keys<float, WideKey<16>>(d, 2);
  }
  check_corner_keys<double, WideKey<16>>(16, 100);
  check_corner_keys<double, WideKey<32>>(32, 100);
}

TEST(the_range_of_features_and_the_first_that_is_not_finite) {
  std::vector<double> features = testing::random_values<double>(3 * 40000, 1, 3);
  for (int threads : {1, 3}) {
    const auto range = crfrnn::feature_range(features.data(), 40000, 3, threads);
    CHECK(range.bad < 0);
    for (int i = 0; i < 3; ++i) {
      double low = HUGE_VAL, high = -HUGE_VAL;
      for (std::size_t at = i; at < features.size(); at += 3) {
        low = std::min(low, features[at]);
        high = std::max(high, features[at]);
      }
      CHECK(range.low[i] == low && range.high[i] == high);
    }
  }
  features[70000] = std::numeric_limits<double>::infinity();
  features[100000] = std::numeric_limits<double>::quiet_NaN();
  CHECK(crfrnn::feature_range(features.data(), 40000, 3, 2).bad == 70000);
}

TEST(layouts_pack_what_fits_and_refuse_what_T_cannot_resolve) {
  const auto layout_of = [](auto value, int d) {
    using T = decltype(value);
    crfrnn::FeatureRange<T> range;
    for (int i = 0; i < d; ++i) {
      range.low[i] = -value;
      range.high[i] = value;
    }
    return crfrnn::key_layout(range, crfrnn::elevation<T>(d), d);
  };
  CHECK(layout_of(100.0f, 2).packed && layout_of(100.0f, 5).packed);
  CHECK(!layout_of(100.0f, 16).packed);
  CHECK(testing::contains(testing::message_of([&] { layout_of(1e6f, 5); }), "more than float32 resolves"));
  CHECK(testing::message_of([&] { layout_of(1e6, 5); }).empty());
  CHECK(testing::contains(testing::message_of([&] { layout_of(1e9, 5); }), "more than float64 resolves"));
}
