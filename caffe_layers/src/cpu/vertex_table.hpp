// Lattice coordinates as keys, and hash tables from keys to numbers.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "crfrnn/buffer.hpp"
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

// One number per coordinate: for feature spaces of at most N dimensions that are too wide to pack.
template <int N>
struct WideKey {
  std::array<std::int32_t, N> at{};

  bool operator==(const WideKey& other) const { return at == other.at; }
  WideKey operator+(const WideKey& step) const {
    WideKey sum;
    for (int i = 0; i < N; ++i) sum.at[i] = at[i] + step.at[i];
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

// From keys to numbers. Open addressing with linear probing, at most half full.
template <typename Key>
class KeyMap {
 public:
  explicit KeyMap(std::size_t expected = 0) { resize(expected); }

  std::size_t size() const { return size_; }

  // The number of a key, which becomes `number` if the map does not hold it yet.
  std::int32_t insert(const Key& key, std::int32_t number) {
    const std::size_t i = place_of(key, key.hash());
    const std::int32_t held = slots_[i].number;
    if (held >= 0) return held;
    slots_[i] = {key, number};
    ++size_;
    if (2 * size_ > slots_.size()) resize(2 * size_);
    return number;
  }

  // The number of a key with this hash, or -1.
  std::int32_t find(const Key& key, std::uint64_t hash) const { return slots_[place_of(key, hash)].number; }
  void prefetch(std::uint64_t hash) const { __builtin_prefetch(&slots_[hash & mask_]); }

  // Calls f(key, number) for every key, in no particular order; what it returns becomes the key's number.
  template <typename F>
  void renumber(const F& f) {
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      Slot& slot = slots_[i];
      if (slot.number >= 0) slot.number = f(slot.key, slot.number);
    }
  }

 private:
  struct Slot {
    Key key;
    std::int32_t number;  // -1 where there is no key
  };

  // Where a key is, or would go.
  std::size_t place_of(const Key& key, std::uint64_t hash) const {
    std::size_t i = hash & mask_;
    while (slots_[i].number >= 0 && !(slots_[i].key == key)) i = (i + 1) & mask_;
    return i;
  }

  void resize(std::size_t expected) {
    std::size_t size = 64;
    while (size < 2 * expected) size *= 2;
    const Buffer<Slot> old = std::exchange(slots_, Buffer<Slot>(size));
    std::fill_n(slots_.data(), size, Slot{Key(), -1});
    mask_ = size - 1;
    for (std::size_t i = 0; i < old.size(); ++i) {
      if (old[i].number >= 0) slots_[place_of(old[i].key, old[i].key.hash())] = old[i];
    }
  }

  Buffer<Slot> slots_;
  std::size_t mask_ = 0;
  std::size_t size_ = 0;
};

}  // namespace crfrnn
