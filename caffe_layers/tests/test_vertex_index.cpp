#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

#include "testing.hpp"
#include "vertex_index.hpp"

using crfrnn::BlockKeys;
using crfrnn::PackedKey;

namespace {

// Keys of several blocks, each drawn from numbers below `most` without repetition.
std::vector<BlockKeys<PackedKey>> some_blocks(int blocks, int keys, unsigned most) {
  std::mt19937 generator(1);
  std::vector<BlockKeys<PackedKey>> list(blocks);
  for (BlockKeys<PackedKey>& block : list) {
    while (static_cast<int>(block.keys.size()) < keys) {
      const PackedKey key{generator() % most};
      if (std::find(block.keys.begin(), block.keys.end(), key) == block.keys.end()) block.keys.push_back(key);
    }
    block.sort_by_part();
  }
  return list;
}

}  // namespace

TEST(keys_are_sorted_by_the_part_of_their_hash) {
  const BlockKeys<PackedKey> block = some_blocks(1, 300, 10000)[0];
  std::vector<int> seen(300, 0);
  for (int part = 0; part < crfrnn::kIndexParts; ++part) {
    for (std::int32_t i = block.part_begin[part]; i < block.part_begin[part + 1]; ++i) {
      CHECK(crfrnn::index_part(block.keys[block.by_part[i]]) == part);
      CHECK(i == block.part_begin[part] || block.by_part[i - 1] < block.by_part[i]);
      ++seen[block.by_part[i]];
    }
  }
  CHECK(std::count(seen.begin(), seen.end(), 1) == 300);
}

TEST(vertices_are_numbered_by_first_touch_on_any_number_of_threads) {
  const std::int64_t points = 47, grain = 10;
  const auto blocks = some_blocks(5, 200, 700);
  for (int threads : {1, 3}) {
    crfrnn::VertexIndex<PackedKey> index(blocks, points, grain, threads);
    std::map<std::uint64_t, std::int32_t> number;
    std::vector<std::int32_t> shared;
    for (const auto& block : blocks) {
      for (const PackedKey& key : block.keys) {
        const auto [at, fresh] = number.emplace(key.bits, static_cast<std::int32_t>(number.size()));
        if (!fresh) shared.push_back(at->second);
      }
    }
    CHECK(index.vertices() == static_cast<std::int64_t>(number.size()));
    std::int32_t share = static_cast<std::int32_t>(index.vertices());
    std::vector<char> seen(index.vertices(), 0);
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      CHECK(index.blocks()[i].first_point == static_cast<std::int64_t>(i) * grain);
      CHECK(index.blocks()[i].points ==
            std::min<std::int64_t>(grain, points - static_cast<std::int64_t>(i) * grain));
      for (std::size_t k = 0; k < blocks[i].keys.size(); ++k) {
        const std::int32_t vertex = number[blocks[i].keys[k].bits];
        CHECK(index.places(i)[k] == (seen[vertex] ? share++ : vertex));
        seen[vertex] = 1;
      }
    }
    CHECK(index.take_shared() == shared);

    std::vector<std::int32_t> next(index.vertices());
    index.neighbours(PackedKey{3}, 0, 100, next.data());
    index.neighbours(PackedKey{3}, 100, index.vertices(), next.data() + 100);
    for (const auto& [key, vertex] : number) {
      const auto found = number.find(key + 3);
      CHECK(next[vertex] == (found == number.end() ? -1 : found->second));
    }
  }
}
