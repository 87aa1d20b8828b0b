// Times works, each asked for by a line on standard input, and answers each
// with a line of JSON: so one process serves for many, in whatever view of the
// files it was started.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstdio>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "androidtest/bench/exchange.h"
#include "androidtest/bench/ruler.h"

namespace fused::androidtest {
namespace {

std::string Quoted(const std::string& text) {
  return absl::StrCat(
      "\"",
      absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"\"", "\\\""}, {"\n", " "}}),
      "\"");
}

// Which connection a mount is.
std::string DeviceOf(const std::string& path) {
  struct stat attributes;
  if (stat(path.c_str(), &attributes) != 0) {
    return absl::StrCat("{\"error\": ", Quoted(path + ": not there"), "}");
  }
  return absl::StrCat("{\"device\": ", minor(attributes.st_dev), "}");
}

// Opens files PATH/fNNNNNNN from one number up to another, for good.
std::string Hold(const std::string& path, std::string_view begin,
                 std::string_view end) {
  int from = 0;
  int to = 0;
  if (!absl::SimpleAtoi(begin, &from) || !absl::SimpleAtoi(end, &to)) {
    return R"({"error": "hold: PATH BEGIN END"})";
  }
  for (int number = from; number < to; ++number) {
    const std::string name = absl::StrFormat("%s/f%07d", path, number);
    if (open(name.c_str(), O_RDONLY | O_CLOEXEC) < 0) {
      return absl::StrCat("{\"error\": ", Quoted(name + ": not opened"), "}");
    }
  }
  return R"({"held": true})";
}

// What it takes to ask another process.
std::string Exchanged(std::string_view millis) {
  int each = 0;
  if (!absl::SimpleAtoi(millis, &each)) {
    return R"({"error": "exchange: MILLIS"})";
  }
  const auto exchange = MeasureExchange(absl::Milliseconds(each));
  if (!exchange.ok()) {
    return absl::StrCat("{\"error\": ", Quoted(exchange.status().ToString()),
                        "}");
  }
  return absl::StrCat(
      "{\"one_cpu_ns\": ", exchange->one_cpu_ns, ", \"two_cpus_ns\": ",
      exchange->two_cpus_ns.has_value() ? absl::StrCat(*exchange->two_cpus_ns)
                                        : "null",
      "}");
}

std::string Answer(const std::string& line) {
  const std::vector<std::string> words = absl::StrSplit(line, '\t');
  if (words[0] == "device" && words.size() == 2) return DeviceOf(words[1]);
  if (words[0] == "hold" && words.size() == 4) {
    return Hold(words[1], words[2], words[3]);
  }
  if (words[0] == "exchange" && words.size() == 2) return Exchanged(words[1]);
  const auto task = ParseTask(line);
  if (!task.ok()) {
    return absl::StrCat("{\"error\": ", Quoted(task.status().ToString()), "}");
  }
  const auto measured = Measure(*task);
  if (!measured.ok()) {
    return absl::StrCat("{\"error\": ", Quoted(measured.status().ToString()),
                        "}");
  }
  return ToJson(*measured);
}

void Serve() {
  std::string line;
  while (std::getline(std::cin, line)) {
    std::cout << Answer(line) << std::endl;
  }
}

}  // namespace
}  // namespace fused::androidtest

int main(int argc, char**) {
  if (argc != 1) {
    std::fputs("usage: ruler, with lines on standard input:\n", stderr);
    for (const auto& [name, about] : fused::androidtest::WorkNames()) {
      std::fprintf(stderr, "  %-16s %s\n", name.c_str(), about.c_str());
    }
    return 2;
  }
  fused::androidtest::Serve();
  return 0;
}
