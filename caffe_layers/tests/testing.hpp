// The little that the tests of the core need: a list of tests, checks that count failures, and random
// numbers.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <random>
#include <string>
#include <vector>

namespace testing {

// Defined in main.cpp.
void add_test(const char* name, void (*run)());
void fail(const char* file, int line, const std::string& text);

struct Registered {
  Registered(const char* name, void (*run)()) { add_test(name, run); }
};

#define TEST(name)                                                 \
  static void name();                                              \
  static const testing::Registered registered_##name(#name, name); \
  static void name()

#define CHECK(condition)                                             \
  do {                                                               \
    if (!(condition)) testing::fail(__FILE__, __LINE__, #condition); \
  } while (false)

// That the error of `actual`, relative to the largest expected value, is at most `most`.
#define CHECK_CLOSE(actual, expected, most)                                                                  \
  do {                                                                                                       \
    const double error_ = testing::relative_error(actual, expected);                                         \
    if (!(error_ <= (most)))                                                                                 \
      testing::fail(__FILE__, __LINE__, #actual " differs from " #expected " by " + std::to_string(error_)); \
  } while (false)

// Infinite where sizes differ or one of two numbers is NaN.
template <typename A, typename B>
double relative_error(const std::vector<A>& actual, const std::vector<B>& expected) {
  if (actual.size() != expected.size()) return HUGE_VAL;
  double error = 0, scale = 1e-300;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double distance = std::abs(double(actual[i]) - double(expected[i]));
    if (std::isnan(distance)) return HUGE_VAL;
    error = std::max(error, distance);
    scale = std::max(scale, std::abs(double(expected[i])));
  }
  return error / scale;
}

// What rounding may amount to in T, after some thousand operations.
template <typename T>
constexpr double kRounding = sizeof(T) == 4 ? 2e-5 : 1e-12;

template <typename T>
std::vector<T> random_values(std::int64_t size, double deviation, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(0.0, deviation);
  std::vector<T> values(size);
  for (T& value : values) value = static_cast<T>(normal(generator));
  return values;
}

template <typename T>
double inner(const std::vector<T>& a, const std::vector<T>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += double(a[i]) * double(b[i]);
  return sum;
}

// Checks that <K a, b> = <a, K' b> up to rounding; ka is K a, tb is K' b.
template <typename T>
bool are_adjoint(const std::vector<T>& ka, const std::vector<T>& b, const std::vector<T>& a,
                 const std::vector<T>& tb) {
  double scale = 0;
  for (std::size_t i = 0; i < a.size(); ++i) scale += std::abs(double(ka[i]) * double(b[i]));
  return std::abs(inner(ka, b) - inner(a, tb)) <= kRounding<T> * scale;
}

// What f() throws says, "" if it throws nothing.
template <typename F>
std::string message_of(const F& f) {
  try {
    f();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace testing
