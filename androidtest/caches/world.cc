#include "androidtest/caches/world.h"

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "androidtest/harness/outcome.h"

namespace fused::androidtest::caches {
namespace {

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string NameOf(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

bool IsAtOrBelow(const std::string& path, const std::string& top) {
  return path == top || absl::StartsWith(path, top + "/");
}

Result Failed(int error) { return {.error = error}; }

}  // namespace

std::string ToString(const Result& result) {
  if (result.error != 0) return ErrorName(result.error);
  std::string text = "ok";
  if (result.size.has_value()) absl::StrAppend(&text, " size ", *result.size);
  if (result.links.has_value()) {
    absl::StrAppend(&text, " links ", *result.links);
  }
  if (result.names.has_value()) {
    absl::StrAppend(&text, " [", absl::StrJoin(*result.names, " "), "]");
  }
  return text;
}

World::World() {
  for (const char* path : {"", "one", "two", "plain"}) {
    nodes_[path].directory = true;
  }
}

std::string World::Policy(uint64_t version) const {
  std::string patterns = "patterns: \"never/**\"";
  for (const std::string& veil : veils_) {
    absl::StrAppend(&patterns, " patterns: \"", veil, "/**\"");
  }
  const auto deny = [](std::string_view name, std::string_view state) {
    return absl::StrCat("rules { name: \"", name,
                        "\" operations: LOOKUP when { all_of { conditions { ",
                        "state: ", state,
                        " } conditions { not { permission: \"SEE\" } } } } "
                        "effect { deny { error: ENOENT } } }\n");
  };
  return absl::StrCat(
      "name: \"veils\" version: ", version,
      "\npath_classes { name: \"plain\" patterns: \"plain/**\" }\n"
      "path_classes { name: \"veiled\" ",
      patterns, " }\n",
      "rules { name: \"plain\" path_classes: \"plain\" operations: ANY effect "
      "{ allow {} } }\n"
      "rules { name: \"veil\" path_classes: \"veiled\" operations: LOOKUP "
      "when { not { permission: \"SEE\" } } effect { deny { error: ENOENT } } "
      "}\n",
      deny("hidden", "HIDDEN"), deny("trashed", "TRASHED"),
      deny("pending", "PENDING"),
      "rules { name: \"rest\" operations: ANY effect { allow {} } }\n");
}

bool World::Hidden(const std::string& path) const {
  std::string above;
  for (const std::string_view part : absl::StrSplit(path, '/')) {
    if (!above.empty() && nodes_.count(above + "/.nomedia") != 0) return true;
    if (absl::StartsWith(part, ".")) return true;
    above = above.empty() ? std::string(part) : absl::StrCat(above, "/", part);
  }
  return false;
}

bool World::Shown(bool sees, const std::string& path) const {
  if (sees || path.empty() || IsAtOrBelow(path, "plain")) return true;
  const bool veiled = std::any_of(
      veils_.begin(), veils_.end(),
      [&](const std::string& veil) { return IsAtOrBelow(path, veil); });
  return !veiled && !Hidden(path);
}

int World::WayTo(bool sees, const std::string& path) const {
  const std::string parent = ParentOf(path);
  if (!path.empty() && !parent.empty()) {
    if (const int error = WayTo(sees, parent); error != 0) return error;
  }
  if (!Shown(sees, parent) || nodes_.count(parent) == 0) return ENOENT;
  return nodes_.at(parent).directory ? 0 : ENOTDIR;
}

int World::Find(bool sees, const std::string& path) const {
  if (const int error = WayTo(sees, path); error != 0) return error;
  return Shown(sees, path) && nodes_.count(path) != 0 ? 0 : ENOENT;
}

bool World::IsDirectory(const std::string& path) const {
  const auto found = nodes_.find(path);
  return found != nodes_.end() && found->second.directory;
}

std::vector<std::string> World::Paths() const {
  std::vector<std::string> paths;
  for (const auto& [path, node] : nodes_) {
    if (path.find('/') != std::string::npos) paths.push_back(path);
  }
  return paths;
}

std::vector<std::string> World::Directories() const {
  std::vector<std::string> paths;
  for (const auto& [path, node] : nodes_) {
    if (node.directory) paths.push_back(path);
  }
  return paths;
}

std::vector<std::string> World::Below(const std::string& path) const {
  std::vector<std::string> below;
  for (const auto& [other, node] : nodes_) {
    if (other != path && IsAtOrBelow(other, path)) below.push_back(other);
  }
  return below;
}

Result World::Stat(bool sees, const std::string& path, bool shared) const {
  if (const int error = Find(sees, path); error != 0) return Failed(error);
  const Node& node = nodes_.at(path);
  if (!node.directory) return {.size = node.size};
  // Where a name may be kept from somebody, the count tells of none.
  const bool constant =
      !IsAtOrBelow(path, "plain") && (shared || !Shown(sees, path + "/any"));
  int64_t links = 2;
  for (const auto& [other, there] : nodes_) {
    const bool child = !other.empty() && ParentOf(other) == path;
    if (child && there.directory && !constant) ++links;
  }
  return {.links = links};
}

Result World::List(bool sees, const std::string& path) const {
  if (const int error = Find(sees, path); error != 0) return Failed(error);
  if (!nodes_.at(path).directory) return Failed(ENOTDIR);
  std::vector<std::string> names;
  for (const auto& [other, node] : nodes_) {
    if (!other.empty() && ParentOf(other) == path && Shown(sees, other)) {
      names.push_back(NameOf(other));
    }
  }
  std::sort(names.begin(), names.end());
  return {.names = std::move(names)};
}

Result World::Create(bool sees, const std::string& path, int64_t size) {
  if (const int error = WayTo(sees, path); error != 0) return Failed(error);
  if (!Shown(sees, path)) return Failed(ENOENT);
  if (!nodes_.try_emplace(path, Node{false, size}).second) {
    return Failed(EEXIST);
  }
  return {};
}

Result World::Write(bool sees, const std::string& path, int64_t size) {
  if (const int error = Find(sees, path); error != 0) return Failed(error);
  Node& node = nodes_.at(path);
  if (node.directory) return Failed(EISDIR);
  node.size = std::max(node.size, size);
  return {};
}

Result World::MakeDirectory(bool sees, const std::string& path) {
  if (const int error = WayTo(sees, path); error != 0) return Failed(error);
  if (!Shown(sees, path)) return Failed(ENOENT);
  return Failed(nodes_.try_emplace(path, Node{true, 0}).second ? 0 : EEXIST);
}

Result World::Unlink(bool sees, const std::string& path) {
  if (const int error = Find(sees, path); error != 0) return Failed(error);
  if (nodes_.at(path).directory) return Failed(EISDIR);
  nodes_.erase(path);
  return {};
}

Result World::RemoveDirectory(bool sees, const std::string& path) {
  if (const int error = Find(sees, path); error != 0) return Failed(error);
  if (!nodes_.at(path).directory) return Failed(ENOTDIR);
  if (!Below(path).empty()) return Failed(ENOTEMPTY);
  nodes_.erase(path);
  return {};
}

void World::Move(const std::string& from, const std::string& to) {
  std::vector<std::string> paths = Below(from);
  paths.push_back(from);
  for (const std::string& path : paths) {
    auto node = nodes_.extract(path);
    node.key() = to + path.substr(from.size());
    nodes_.erase(node.key());
    nodes_.insert(std::move(node));
  }
}

// What is below moves along, and has to be shown at either place.
bool World::MayMove(bool sees, const std::string& from,
                    const std::string& to) const {
  World moved = *this;
  moved.Move(from, to);
  for (const std::string& path : Below(from)) {
    if (!Shown(sees, path)) return false;
    if (!moved.Shown(sees, to + path.substr(from.size()))) return false;
  }
  return true;
}

bool World::IsUnclearRename(bool sees, const std::string& from,
                            const std::string& to, bool exchange) const {
  if (IsAtOrBelow(from, to) || IsAtOrBelow(to, from)) return true;
  if (WayTo(sees, from) == ENOTDIR || WayTo(sees, to) == ENOTDIR) return true;
  const bool there = nodes_.count(to) != 0;
  // Two errors are due, or the one that stands in the way is another's.
  if (IsDirectory(from) || IsDirectory(to)) return exchange || there;
  return exchange && (!there || nodes_.count(from) == 0);
}

Result World::Rename(bool sees, const std::string& from, const std::string& to,
                     bool exchange) {
  if (const int error = WayTo(sees, from); error != 0) return Failed(error);
  if (const int error = WayTo(sees, to); error != 0) return Failed(error);
  if (!Shown(sees, from) || !nodes_.count(from)) return Failed(ENOENT);
  if (!Shown(sees, to)) return Failed(ENOENT);
  if (!MayMove(sees, from, to)) return Failed(EACCES);
  if (exchange) {
    std::swap(nodes_.at(from), nodes_.at(to));
  } else {
    Move(from, to);
  }
  return {};
}

}  // namespace fused::androidtest::caches
