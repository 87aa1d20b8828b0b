#include "policy/path_classes.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/pattern.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

using Path = std::vector<std::string_view>;

// As the proto says it, part by part.
bool Matches(const Path& pattern, size_t i, const Path& path, size_t j) {
  if (i == pattern.size()) return j == path.size();
  if (pattern[i] == "**") {
    return Matches(pattern, i + 1, path, j) ||
           (j < path.size() && Matches(pattern, i, path, j + 1));
  }
  if (j == path.size()) return false;
  if (pattern[i] != "*" && pattern[i] != "{package}" && pattern[i] != path[j]) {
    return false;
  }
  return Matches(pattern, i + 1, path, j + 1);
}

Path Parts(std::string_view pattern) {
  if (pattern == "/") return {};
  return absl::StrSplit(pattern, '/');
}

// The class of `path`, and the component that is its package.
std::pair<ClassId, std::string_view> Naive(const v1::Policy& policy,
                                           const Path& path) {
  for (int i = 0; i < policy.path_classes_size(); ++i) {
    for (const std::string& text : policy.path_classes(i).patterns()) {
      const Path pattern = Parts(text);
      if (!Matches(pattern, 0, path, 0)) continue;
      for (size_t part = 0; part < pattern.size(); ++part) {
        if (pattern[part] == "{package}") {
          return {static_cast<ClassId>(i), path[part]};
        }
      }
      return {static_cast<ClassId>(i), ""};
    }
  }
  return {kOtherClass, ""};
}

std::pair<ClassId, std::string_view> Walk(const PathClasses& classes,
                                          const Path& path) {
  uint32_t index = PathClasses::kRoot;
  std::string_view captures[Location::kCaptures];
  for (const std::string_view name : path) {
    const PathClasses::State& state = classes.state(index);
    if (state.capture_slot >= 0) captures[state.capture_slot] = name;
    index = classes.Next(state, name);
  }
  const PathClasses::State& state = classes.state(index);
  return {state.path_class,
          state.owner_slot < 0 ? "" : captures[state.owner_slot]};
}

std::string RandomPattern(std::mt19937& random) {
  constexpr std::string_view kParts[] = {"a", "b", "c", "*", "**"};
  if (random() % 12 == 0) return "/";
  std::vector<std::string_view> parts(1 + random() % 4);
  for (std::string_view& part : parts) part = kParts[random() % 5];
  if (random() % 4 == 0) {
    const size_t at = random() % 2;
    if (at < parts.size() && (at == 0 || parts[0] != "**")) {
      parts[at] = "{package}";
    }
  }
  return absl::StrJoin(parts, "/");
}

TEST(PathClassesTest, IsWhatThePatternsSay) {
  constexpr std::string_view kNames[] = {"a", "b", "c", "d"};
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    v1::Policy policy;
    for (uint32_t i = 0; i < 1 + random() % 6; ++i) {
      v1::PathClass* const path_class = policy.add_path_classes();
      path_class->set_name(absl::StrCat("c", i));
      for (uint32_t j = 0; j < 1 + random() % 3; ++j) {
        path_class->add_patterns(RandomPattern(random));
      }
    }
    Issues issues;
    const auto classes = PathClasses::Compile(policy, SourceMap(), issues);
    ASSERT_TRUE(classes.has_value()) << issues[0].ToString();
    for (int i = 0; i < 100; ++i) {
      Path path(random() % 6);
      for (std::string_view& name : path) name = kNames[random() % 4];
      const auto naive = Naive(policy, path);
      ASSERT_EQ(Walk(*classes, path), naive)
          << absl::StrJoin(path, "/") << " in\n"
          << policy.DebugString();
      EXPECT_TRUE(classes->reachable(naive.first));
    }
  }
}

TEST(PathClassesTest, KnowsWhatItHas) {
  v1::Policy policy;
  v1::PathClass* path_class = policy.add_path_classes();
  path_class->set_name("x");
  path_class->add_patterns("{package}/**");
  path_class->set_names(v1::FAT);
  path_class = policy.add_path_classes();
  path_class->set_name("y");
  path_class->add_patterns("a/b");
  Issues issues;
  const auto classes = PathClasses::Compile(policy, SourceMap(), issues);
  ASSERT_TRUE(classes.has_value());
  EXPECT_EQ(classes->size(), 2);
  EXPECT_EQ(classes->NameOf(1), "y");
  EXPECT_EQ(classes->NameOf(kOtherClass), "other");
  EXPECT_TRUE(classes->demands_fat(0));
  EXPECT_FALSE(classes->demands_fat(1));
  EXPECT_FALSE(classes->demands_fat(kOtherClass));
  EXPECT_TRUE(classes->reachable(0));
  EXPECT_FALSE(classes->reachable(1));
  EXPECT_TRUE(classes->reachable(kOtherClass));  // the root
  EXPECT_TRUE(classes->has_owner(0));
  EXPECT_FALSE(classes->has_owner(kOtherClass));
}

TEST(PatternTest, RefusesWhatIsNone) {
  for (const char* text :
       {"", "//", "/a", "a/", "a//b", ".", "a/..", "a*", "**b", "{package",
        "{x}", "{package}/{package}", "**/{package}", "a\xff",
        "1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17"}) {
    EXPECT_FALSE(ParsePattern(text).ok()) << text;
  }
  EXPECT_FALSE(ParsePattern(std::string(300, 'a')).ok());
  // Nothing but what is ignored.
  EXPECT_FALSE(ParsePattern("a/\u200d").ok());
}

TEST(PatternTest, FoldsLiterals) {
  const auto parts = ParsePattern("\u00c9A/*/{package}/**");
  ASSERT_TRUE(parts.ok());
  ASSERT_EQ(parts->size(), 4);
  EXPECT_EQ((*parts)[0].literal, "\u00e9a");
  EXPECT_EQ((*parts)[2].kind, PatternPart::Kind::kPackage);
  EXPECT_TRUE(ParsePattern("/")->empty());
}

}  // namespace
}  // namespace fused::policy
