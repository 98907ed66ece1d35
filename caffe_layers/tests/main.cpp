// Runs the tests of the core, without Python: all, or those whose names hold the text given, or with -TEXT do
// not hold it. Meant to run under the sanitizers too, and once for every instruction set (CRFRNN_ISA); 77
// where the processor lacks the one that is asked for.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "rows.hpp"
#include "testing.hpp"

namespace testing {
namespace {

using Test = std::pair<const char*, void (*)()>;

std::vector<Test>& tests() {
  static std::vector<Test> list;
  return list;
}

int failures = 0;
constexpr int kMostLines = 50;  // that are printed

}  // namespace

void add_test(const char* name, void (*run)()) { tests().emplace_back(name, run); }

void fail(const char* file, int line, const std::string& text) {
  if (++failures <= kMostLines) std::fprintf(stderr, "%s:%d: failed: %s\n", file, line, text.c_str());
}

}  // namespace testing

int main(int count, char** arguments) {
  const char* isa = crfrnn::row_ops<float>().isa;
  const char* wanted = std::getenv("CRFRNN_ISA");
  if (wanted && std::strcmp(wanted, isa) != 0) {
    std::printf("not run: this processor has no %s\n", wanted);
    return 77;
  }
  const char* text = count > 1 ? arguments[1] : "";
  const bool others = *text == '-';
  int run = 0;
  for (const auto& [name, test] : testing::tests()) {
    if ((std::strstr(name, text + others) == nullptr) != others) continue;
    const int before = testing::failures;
    const std::string thrown = testing::message_of(test);
    if (!thrown.empty()) testing::fail(name, 0, "threw " + thrown);
    if (testing::failures > before) std::fprintf(stderr, "%s failed\n", name);
    ++run;
  }
  std::printf("%d tests of the core with %s, %d failures\n", run, isa, testing::failures);
  return testing::failures == 0 && run > 0 ? 0 : 1;
}
