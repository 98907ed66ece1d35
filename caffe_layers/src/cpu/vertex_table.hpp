// Hash tables from lattice coordinates to vertex numbers.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "crfrnn/limits.hpp"

namespace crfrnn {

// How lattice coordinates become keys. The first d of the d + 1 coordinates determine a vertex (they sum to
// zero).
struct KeyLayout {
  int dimension = 0;
  bool packed = false;                            // whether all coordinates fit one 64-bit word
  std::array<std::int64_t, kMaxDimension> low{};  // smallest value coordinate i (or a neighbour's) can have
  std::array<int, kMaxDimension> shift{};         // of coordinate i in a packed key
};

inline std::uint64_t mix_bits(std::uint64_t x) {
  x *= 0x9E3779B97F4A7C15ull;
  return x ^ (x >> 32);
}

// All coordinates in one word. Steps between vertices are constant differences: the layout leaves room for
// the blur neighbours of every vertex, so no field can run over into the next.
struct PackedKey {
  std::uint64_t bits = 0;

  bool operator==(const PackedKey& other) const { return bits == other.bits; }
  PackedKey operator+(const PackedKey& step) const { return {bits + step.bits}; }
  std::uint64_t hash() const { return mix_bits(bits); }
  static PackedKey origin(const KeyLayout& layout) {
    PackedKey key;
    for (int i = 0; i < layout.dimension; ++i) key.add(layout, i, -layout.low[i]);
    return key;
  }
  void add(const KeyLayout& layout, int coordinate, std::int64_t amount) {
    bits += static_cast<std::uint64_t>(amount) << layout.shift[coordinate];
  }
};

// One number per coordinate: for feature spaces too wide to pack.
struct WideKey {
  std::array<std::int32_t, kMaxDimension> at{};

  bool operator==(const WideKey& other) const { return at == other.at; }
  WideKey operator+(const WideKey& step) const {
    WideKey sum;
    for (int i = 0; i < kMaxDimension; ++i) sum.at[i] = at[i] + step.at[i];
    return sum;
  }
  std::uint64_t hash() const {
    std::uint64_t h = 0;
    for (std::int32_t x : at) h = mix_bits(h ^ static_cast<std::uint32_t>(x));
    return h;
  }
  static WideKey origin(const KeyLayout&) { return {}; }
  void add(const KeyLayout&, int coordinate, std::int64_t amount) {
    at[coordinate] += static_cast<std::int32_t>(amount);
  }
};

// Numbers keys in the order of their first insertion. Open addressing with linear probing, at most half full.
template <typename Key>
class VertexTable {
 public:
  explicit VertexTable(std::size_t expected) { resize_slots(expected); }

  std::int32_t insert(const Key& key) {
    if (2 * (keys_.size() + 1) > slots_.size()) resize_slots(2 * keys_.size() + 2);
    std::size_t i = key.hash() & mask_;
    for (; slots_[i].id >= 0; i = (i + 1) & mask_) {
      if (slots_[i].key == key) return slots_[i].id;
    }
    slots_[i] = {key, static_cast<std::int32_t>(keys_.size())};
    keys_.push_back(key);
    return slots_[i].id;
  }

  // The number of a key, or -1.
  std::int32_t find(const Key& key) const {
    const std::uint64_t h = key.hash();
    if (!filter_.empty() && !(filter_[(h & filter_mask_) >> 6] >> (h & 63) & 1)) return -1;
    for (std::size_t i = h & mask_; slots_[i].id >= 0; i = (i + 1) & mask_) {
      if (slots_[i].key == key) return slots_[i].id;
    }
    return -1;
  }

  // Makes failing look-ups cheap: one bit test in a table small enough for the second-level cache. Call after
  // the last insertion.
  void build_filter() {
    std::size_t bits = 1024;
    while (bits < 16 * keys_.size()) bits *= 2;
    filter_.assign(bits / 64, 0);
    filter_mask_ = bits - 1;
    for (const Key& key : keys_) {
      const std::uint64_t h = key.hash();
      filter_[(h & filter_mask_) >> 6] |= std::uint64_t{1} << (h & 63);
    }
  }

  const std::vector<Key>& keys() const { return keys_; }
  std::vector<Key> take_keys() { return std::move(keys_); }

 private:
  struct Slot {
    Key key;
    std::int32_t id = -1;
  };

  void resize_slots(std::size_t expected) {
    std::size_t size = 64;
    while (size < 2 * expected) size *= 2;
    slots_.assign(size, Slot());
    mask_ = size - 1;
    for (std::size_t id = 0; id < keys_.size(); ++id) {
      std::size_t i = keys_[id].hash() & mask_;
      while (slots_[i].id >= 0) i = (i + 1) & mask_;
      slots_[i] = {keys_[id], static_cast<std::int32_t>(id)};
    }
  }

  std::vector<Key> keys_;
  std::vector<Slot> slots_;
  std::size_t mask_ = 0;
  std::vector<std::uint64_t> filter_;
  std::uint64_t filter_mask_ = 0;
};

}  // namespace crfrnn
