// Times works, each asked for by a line on standard input, and answers each
// with a line of JSON: so one process serves for many, in whatever view of the
// files it was started.
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cstdio>
#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
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

std::string Answer(const std::string& line) {
  constexpr std::string_view kDevice = "device\t";
  if (line.rfind(kDevice, 0) == 0) return DeviceOf(line.substr(kDevice.size()));
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
