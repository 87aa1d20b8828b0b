// Assertions that read as prose:
//
//   EXPECT_THAT(camera.Open("DCIM/a.jpg", O_RDWR), Opens());
//   EXPECT_THAT(stranger.Open("DCIM/a.jpg", O_RDONLY), FailsWith(EACCES));
//   EXPECT_THAT(stranger, SeesNothingAt("Android/data/com.camera"));
//   EXPECT_THAT(gallery.List("DCIM"), Lists(UnorderedElementsAre("a.jpg")));
#ifndef FUSED_ANDROIDTEST_HARNESS_MATCHERS_H_
#define FUSED_ANDROIDTEST_HARNESS_MATCHERS_H_

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "androidtest/harness/app.h"
#include "androidtest/harness/outcome.h"
#include "gmock/gmock.h"

namespace fused::androidtest {

inline bool HasError(const Outcome& outcome, int error) {
  return !outcome.ok() && outcome.error == error;
}
inline bool HasError(const File& file, int error) {
  return !file.ok() && file.error() == error;
}

MATCHER(Opens, negation ? "does not open" : "opens") { return arg.ok(); }

MATCHER(Succeeds, negation ? "fails" : "succeeds") { return arg.ok(); }

// An Outcome or a File.
MATCHER_P(FailsWith, error,
          (negation ? "does not fail with " : "fails with ") +
              ErrorName(error)) {
  return HasError(arg, error);
}

// Whichever error.
MATCHER(Fails, negation ? "succeeds" : "fails") { return !arg.ok(); }

MATCHER_P(Returns, value, "returns " + testing::PrintToString(value)) {
  return arg.ok() && arg.value == static_cast<int64_t>(value);
}

MATCHER_P(Reads, content, "reads " + testing::PrintToString(content)) {
  return arg.ok() && arg.data == content;
}

MATCHER_P(Lists, names,
          "lists names that " +
              testing::DescribeMatcher<std::vector<std::string>>(names)) {
  return arg.ok() &&
         testing::ExplainMatchResult(names, arg.names, result_listener);
}

MATCHER_P(HasSize, size, "has the size " + testing::PrintToString(size)) {
  if (!arg.ok()) return false;
  *result_listener << "size " << arg.attributes.size();
  return arg.attributes.size() == static_cast<int64_t>(size);
}

// The permission bits with set-id and sticky.
MATCHER_P(HasMode, mode, "has the mode " + testing::PrintToString(mode)) {
  if (!arg.ok()) return false;
  *result_listener << "mode 0" << std::oct << arg.attributes.mode();
  return (arg.attributes.mode() & 07777) == static_cast<uint32_t>(mode);
}

// That no call tells the app whether there is anything at `path`.
MATCHER_P(SeesNothingAt, path, "sees nothing at " + std::string(path)) {
  const std::string p = path;
  const size_t slash = p.rfind('/');
  const std::string parent =
      slash == std::string::npos ? "" : p.substr(0, slash);
  const std::string name = p.substr(slash == std::string::npos ? 0 : slash + 1);
  const std::vector<std::pair<std::string_view, int>> errors = {
      {"stat", arg.Stat(p).error},
      {"lstat", arg.LinkStat(p).error},
      {"access", arg.Access(p, 0).error},
      {"open", arg.Open(p, O_RDONLY).error()},
      {"open to write", arg.Open(p, O_WRONLY).error()},
      {"open to truncate", arg.Open(p, O_RDONLY | O_TRUNC).error()},
      {"opendir", arg.List(p).error},
      {"readlink", arg.ReadLink(p).error},
      {"truncate", arg.Truncate(p, 0).error},
      {"unlink", arg.Unlink(p).error},
      {"rmdir", arg.RemoveDirectory(p).error},
      {"chmod", arg.ChangeMode(p, 0666).error},
      {"rename", arg.Rename(p, p + ".moved").error},
      {"create", arg.Open(p, O_WRONLY | O_CREAT | O_EXCL).error()},
      {"mkdir", arg.MakeDirectory(p).error},
  };
  for (const auto& [call, error] : errors) {
    if (error == ENOENT) continue;
    *result_listener << call << ": " << ErrorName(error);
    return false;
  }
  const Outcome listing = arg.List(parent);
  if (std::find(listing.names.begin(), listing.names.end(), name) !=
      listing.names.end()) {
    *result_listener << "its parent lists it";
    return false;
  }
  return true;
}

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_MATCHERS_H_
