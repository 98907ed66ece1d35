// The vertices of a lattice that was cut into blocks: their numbers, and who their neighbours are.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "crfrnn/buffer.hpp"
#include "crfrnn/lattice_block.hpp"
#include "crfrnn/parallel.hpp"
#include "vertex_table.hpp"

namespace crfrnn {

// Keys are spread over so many parts by their hash. Threads work on different parts without locks, and the
// map of one part of a photograph's lattice fits the second-level cache.
constexpr int kIndexParts = 16;

template <typename Key>
int index_part(const Key& key) {
  return static_cast<int>(key.hash() >> 60);
}

// The different keys that the points of one block touch.
template <typename Key>
struct BlockKeys {
  std::vector<Key> keys;              // in order of first touch
  std::vector<std::int32_t> by_part;  // indices of keys, part after part, ascending within each
  std::array<std::int32_t, kIndexParts + 1> part_begin{};  // of each part in by_part

  // Sets the other two from the keys.
  void sort_by_part() {
    std::array<std::int32_t, kIndexParts + 1> next{};
    for (const Key& key : keys) ++next[index_part(key) + 1];
    for (int part = 0; part < kIndexParts; ++part) next[part + 1] += next[part];
    part_begin = next;
    by_part.resize(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      by_part[next[index_part(keys[i])]++] = static_cast<std::int32_t>(i);
    }
  }
};

// Vertices are numbered block by block, in order of first touch, whatever the number of threads.
template <typename Key>
class VertexIndex {
 public:
  // points: of all blocks; grain: of every block but the last. The keys' by_part must be set.
  VertexIndex(const std::vector<BlockKeys<Key>>& block_keys, std::int64_t points, std::int64_t grain,
              int threads);

  const std::vector<LatticeBlock>& blocks() const { return blocks_; }
  // The vertices that blocks share with earlier ones, block after block; may be asked for once.
  std::vector<std::int32_t> take_shared() { return std::move(shared_); }
  // Of every block's keys, one after another: the places of values that the block uses.
  const std::int32_t* places(std::size_t block) const { return place_.data() + begin_[block]; }
  std::int64_t vertices() const { return static_cast<std::int64_t>(keys_.size()); }

  // next[v - begin] = the vertex one `step` away from v, or -1, for v in [begin, end).
  void neighbours(const Key& step, std::int64_t begin, std::int64_t end, std::int32_t* next) const;

 private:
  // One bit per hash, some 16 times as many as keys: most steps lead to no vertex, and this is cheaper to
  // ask.
  struct Filter {
    std::vector<std::uint64_t> words;
    std::uint64_t mask = 0;

    void resize(std::size_t keys) {
      std::size_t bits = 1024;
      while (bits < 16 * keys) bits *= 2;
      words.assign(bits / 64, 0);
      mask = bits - 1;
    }
    void add(std::uint64_t hash) { words[(hash & mask) >> 6] |= std::uint64_t{1} << (hash & 63); }
    bool may_hold(std::uint64_t hash) const { return words[(hash & mask) >> 6] >> (hash & 63) & 1; }
    void prefetch(std::uint64_t hash) const { __builtin_prefetch(&words[(hash & mask) >> 6]); }
  };

  std::vector<std::int64_t> begin_;  // of each block's keys among all
  std::vector<LatticeBlock> blocks_;
  std::vector<std::int32_t> shared_;
  Buffer<std::int32_t> place_;
  Buffer<Key> keys_;  // of each vertex
  std::vector<KeyMap<Key>> maps_;
  std::vector<Filter> filters_;
};

template <typename Key>
VertexIndex<Key>::VertexIndex(const std::vector<BlockKeys<Key>>& block_keys, std::int64_t points,
                              std::int64_t grain, int threads)
    : begin_(block_keys.size() + 1), blocks_(block_keys.size()), maps_(kIndexParts), filters_(kIndexParts) {
  const std::int64_t blocks = static_cast<std::int64_t>(block_keys.size());
  for (std::int64_t i = 0; i < blocks; ++i) {
    begin_[i + 1] = begin_[i] + static_cast<std::int64_t>(block_keys[i].keys.size());
  }

  // Where each key is touched first.
  Buffer<std::int32_t> first(begin_[blocks]);
  parallel_for(threads, kIndexParts, [&](std::int64_t part) {
    std::size_t most = 0;
    for (const BlockKeys<Key>& b : block_keys) most += b.part_begin[part + 1] - b.part_begin[part];
    maps_[part] = KeyMap<Key>(most / 2);  // in photographs two blocks touch a key; where fewer do, it grows
    for (std::int64_t i = 0; i < blocks; ++i) {
      const BlockKeys<Key>& b = block_keys[i];
      for (std::int32_t k = b.part_begin[part]; k < b.part_begin[part + 1]; ++k) {
        const std::int32_t key = static_cast<std::int32_t>(begin_[i]) + b.by_part[k];
        first[key] = maps_[part].insert(b.keys[b.by_part[k]], key);
      }
    }
  });

  parallel_for(threads, blocks, [&](std::int64_t i) {
    LatticeBlock& block = blocks_[i];
    block.first_point = i * grain;
    block.points = std::min(grain, points - block.first_point);
    for (std::int64_t key = begin_[i]; key < begin_[i + 1]; ++key) block.own += first[key] == key;
    block.shares = static_cast<std::int32_t>(begin_[i + 1] - begin_[i]) - block.own;
  });
  for (std::int64_t i = 1; i < blocks; ++i) {
    blocks_[i].first_vertex = blocks_[i - 1].first_vertex + blocks_[i - 1].own;
    blocks_[i].first_shared = blocks_[i - 1].first_shared + blocks_[i - 1].shares;
  }
  keys_ = Buffer<Key>(blocks_.back().first_vertex + blocks_.back().own);
  shared_.resize(blocks_.back().first_shared + blocks_.back().shares);

  place_ = Buffer<std::int32_t>(begin_[blocks]);
  parallel_for(threads, blocks, [&](std::int64_t i) {
    std::int32_t vertex = blocks_[i].first_vertex, share = blocks_[i].first_shared;
    for (std::int64_t key = begin_[i]; key < begin_[i + 1]; ++key) {
      if (first[key] == key) {
        keys_[vertex] = block_keys[i].keys[key - begin_[i]];
        place_[key] = vertex++;
      } else {
        shared_[share] = first[key];
        place_[key] = static_cast<std::int32_t>(vertices()) + share++;
      }
    }
  });
  parallel_for(threads, kIndexParts, [&](std::int64_t part) {
    filters_[part].resize(maps_[part].size());
    maps_[part].renumber([&](const Key& key, std::int32_t first_key) {
      filters_[part].add(key.hash());
      return place_[first_key];
    });
  });
  parallel_ranges(threads, static_cast<std::int64_t>(shared_.size()), 16384,
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t i = begin; i < end; ++i) shared_[i] = place_[shared_[i]];
                  });
}

template <typename Key>
void VertexIndex<Key>::neighbours(const Key& step, std::int64_t begin, std::int64_t end,
                                  std::int32_t* next) const {
  constexpr int kBatch = 64;  // look-ups that wait for memory at the same time
  std::array<std::uint64_t, kBatch> hash;
  std::array<int, kBatch> likely;
  for (std::int64_t first = begin; first < end; first += kBatch) {
    const int count = static_cast<int>(std::min<std::int64_t>(kBatch, end - first));
    const auto part = [&](int i) { return hash[i] >> 60; };
    for (int i = 0; i < count; ++i) {
      hash[i] = (keys_[first + i] + step).hash();
      filters_[part(i)].prefetch(hash[i]);
    }
    int found = 0;
    for (int i = 0; i < count; ++i) {
      next[first - begin + i] = -1;
      likely[found] = i;
      found += filters_[part(i)].may_hold(hash[i]);
    }
    for (int l = 0; l < found; ++l) maps_[part(likely[l])].prefetch(hash[likely[l]]);
    for (int l = 0; l < found; ++l) {
      const int i = likely[l];
      next[first - begin + i] = maps_[part(i)].find(keys_[first + i] + step, hash[i]);
    }
  }
}

}  // namespace crfrnn
