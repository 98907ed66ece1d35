#include <fstream>
#include <sstream>
#include <string>

#include "processor.hpp"
#include "testing.hpp"

#if defined(__linux__) && defined(__x86_64__)
TEST(the_processor_is_believed_to_do_what_the_system_says) {
  std::ifstream facts("/proc/cpuinfo");
  std::string line, word;
  int wanted = 3;
  while (line.compare(0, 5, "flags") != 0 && std::getline(facts, line)) {
  }
  for (std::istringstream words(line); words >> word;)
    wanted -= word == "avx2" || word == "fma" || word == "bmi2";
  CHECK(crfrnn::has_avx2() == (wanted == 0));
}
#elif !defined(__x86_64__)
TEST(other_processors_have_none_of_it) { CHECK(!crfrnn::has_avx2()); }
#endif
