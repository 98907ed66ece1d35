#include <cstdint>
#include <map>
#include <vector>

#include "testing.hpp"
#include "vertex_table.hpp"

using crfrnn::KeyLayout;
using crfrnn::KeyMap;
using crfrnn::PackedKey;
using crfrnn::WideKey;

namespace {

KeyLayout some_layout() {
  KeyLayout layout;
  layout.dimension = 3;
  layout.packed = true;
  for (int i = 0; i < 3; ++i) {
    layout.low[i] = -40;
    layout.shift[i] = 7 * i;
  }
  return layout;
}

template <typename Key>
Key key_at(const std::vector<int>& at) {
  Key key = Key::origin(some_layout());
  for (int i = 0; i < 3; ++i) key.add(some_layout(), i, at[i]);
  return key;
}

template <typename Key>
void check_map() {
  std::mt19937 generator(1);
  const auto draw = [&] {
    std::vector<int> at(3);
    for (int& x : at) x = static_cast<int>(generator() % 20) - 10;
    return at;
  };
  std::map<std::vector<int>, std::int32_t> truth;
  KeyMap<Key> map(3);
  for (std::int32_t number = 0; number < 3000; ++number) {
    const std::vector<int> at = draw();
    CHECK(map.insert(key_at<Key>(at), number) == truth.emplace(at, number).first->second);
  }
  CHECK(map.size() == truth.size());
  map.renumber([](const Key&, std::int32_t number) { return number + 5; });
  for (int i = 0; i < 3000; ++i) {
    const std::vector<int> at = draw();
    const Key key = key_at<Key>(at);
    const auto found = truth.find(at);
    CHECK(map.find(key, key.hash()) == (found == truth.end() ? -1 : found->second + 5));
  }
}

template <typename Key>
void check_steps() {
  Key step{};
  step.add(some_layout(), 0, -3);
  step.add(some_layout(), 1, 1);
  step.add(some_layout(), 2, 1);
  for (int x : {-20, 0, 20}) {
    CHECK(key_at<Key>({x, -x, 5}) + step == key_at<Key>({x - 3, 1 - x, 6}));
    CHECK(!(key_at<Key>({x, -x, 5}) == key_at<Key>({x, 1 - x, 5})));
  }
}

}  // namespace

TEST(key_maps_hold_what_std_map_holds) {
  check_map<PackedKey>();
  check_map<WideKey<16>>();
  check_map<WideKey<32>>();
}

TEST(steps_between_keys_are_constant) {
  check_steps<PackedKey>();
  check_steps<WideKey<16>>();
  check_steps<WideKey<32>>();
}
