#include "androidtest/model/world.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "androidtest/harness/outcome.h"
#include "androidtest/model/cast.h"

namespace fused::androidtest::model {
namespace {

Result Error(int error) {
  Result result;
  result.errors = {error};
  return result;
}

Result Errors(std::set<int> errors) {
  errors.erase(0);
  Result result;
  if (!errors.empty()) result.errors = std::move(errors);
  return result;
}

void WriteAt(Node& node, size_t offset, const std::string& text) {
  if (node.content.size() < offset + text.size()) {
    node.content.resize(offset + text.size());
  }
  node.content.replace(offset, text.size(), text);
  node.modified.reset();
}

void Resize(Node& node, size_t size) {
  node.content.resize(size);
  node.modified.reset();
}

std::vector<std::string> Join(std::vector<std::string> path,
                              const std::string& name) {
  path.push_back(name);
  return path;
}

Object ObjectOf(std::vector<std::string> path, const Node& node) {
  return {std::move(path), node.directory, node.owner};
}

bool IsWithin(const std::vector<std::string>& path,
              const std::vector<std::string>& directory) {
  return path.size() > directory.size() &&
         std::equal(directory.begin(), directory.end(), path.begin());
}

// Every file of the tree at `from`, as it is and as it would be at `to`.
void ForFiles(
    const std::vector<std::string>& from, const std::vector<std::string>& to,
    const Node& node,
    const std::function<void(const Object& from, const Object& to)>& visit) {
  if (!node.directory) {
    visit(ObjectOf(from, node), ObjectOf(to, node));
    return;
  }
  for (const auto& [name, child] : node.children) {
    ForFiles(Join(from, name), Join(to, name), *child, visit);
  }
}

// The errors of taking what is at `from` to `to`.
std::set<int> JudgeMove(const Subject& subject,
                        const std::vector<std::string>& from,
                        const std::vector<std::string>& to, const Node& node) {
  std::set<int> errors;
  if (node.directory) {
    errors.insert(Judge(subject, 'n', ObjectOf(from, node)));
    errors.merge(JudgeNew(subject, 'M', {to, true, kNobody}));
  }
  ForFiles(from, to, node, [&](const Object& here, const Object& there) {
    errors.insert(Judge(subject, 'N', here));
    // A new name is nobody's.
    errors.merge(JudgeNew(subject, 'C', {there.path, false, kNobody}));
  });
  return errors;
}

}  // namespace

std::string ToString(const Result& result) {
  std::vector<std::string> parts;
  for (const int error : result.errors) {
    parts.push_back(error == 0 ? "success" : ErrorName(error));
  }
  std::string text = absl::StrJoin(parts, " or ");
  if (result.data.has_value()) {
    absl::StrAppend(&text, ", content \"", *result.data, "\"");
  }
  if (result.names.has_value()) {
    absl::StrAppend(&text, ", names [", absl::StrJoin(*result.names, " "), "]");
  }
  if (result.size.has_value()) {
    absl::StrAppend(&text, ", size ", *result.size);
  }
  if (result.modified.has_value()) {
    absl::StrAppend(&text, ", modified ", *result.modified);
  }
  return text;
}

bool Fits(const Result& expected, const Result& seen) {
  if (!expected.ok()) {
    return std::includes(expected.errors.begin(), expected.errors.end(),
                         seen.errors.begin(), seen.errors.end());
  }
  return seen.ok() && (!expected.data || expected.data == seen.data) &&
         (!expected.names || expected.names == seen.names) &&
         (!expected.size || expected.size == seen.size) &&
         (!expected.modified || expected.modified == seen.modified);
}

std::vector<std::string> World::FirstDirectories() {
  return {"Alarms",   "Audiobooks",   "DCIM",          "Documents",
          "Download", "Movies",       "Music",         "Notifications",
          "Pictures", "Podcasts",     "Recordings",    "Ringtones",
          "Android",  "Android/data", "Android/media", "Android/obb"};
}

World::World() : root_(std::make_shared<Node>()) {
  root_->directory = true;
  for (const std::string& path : FirstDirectories()) {
    Node* node = root_.get();
    for (const std::string& name : Split(path)) {
      std::shared_ptr<Node>& child = node->children[name];
      if (child == nullptr) child = std::make_shared<Node>();
      child->directory = true;
      node = child.get();
    }
  }
}

std::shared_ptr<Node> World::At(const std::vector<std::string>& path) const {
  std::shared_ptr<Node> node = root_;
  for (const std::string& name : path) {
    const auto child = node->children.find(name);
    if (child == node->children.end()) return nullptr;
    node = child->second;
  }
  return node;
}

World::Found World::Find(const Subject& subject,
                         const std::string& path) const {
  Found found;
  found.path = Split(path);
  found.node = root_;
  found.object = {{}, true, kNobody};
  for (size_t i = 0; i < found.path.size(); ++i) {
    if (found.node == nullptr) {
      found.error = ENOENT;
      return found;
    }
    if (!found.node->directory) {
      found.error = ENOTDIR;
      return found;
    }
    found.parent = found.node.get();
    found.object = {{found.path.begin(),
                     found.path.begin() + static_cast<ptrdiff_t>(i) + 1},
                    false,
                    kNobody};
    const auto child = found.parent->children.find(found.path[i]);
    found.node =
        child == found.parent->children.end() ? nullptr : child->second;
    if (found.node == nullptr) continue;
    found.object = ObjectOf(found.object.path, *found.node);
    if (Judge(subject, 'S', found.object) != 0) found.node = nullptr;
  }
  return found;
}

Result World::Do(const Step& step) {
  const Subject& subject = Cast()[step.actor].subject;
  switch (step.action) {
    case Action::kStat:
    case Action::kList:
      return Look(subject, step);
    case Action::kAccess:
      return Access(subject, step);
    case Action::kRead:
    case Action::kWrite:
    case Action::kReadAndWrite:
    case Action::kAppend:
    case Action::kTruncatingRead:
    case Action::kHold:
      return Open(subject, step);
    case Action::kTruncate:
    case Action::kSetTimes:
    case Action::kChangeMode:
      return Change(subject, step);
    case Action::kCreate:
    case Action::kOpenOrCreate:
    case Action::kMakeNode:
    case Action::kMakeDirectory:
      return Make(subject, step);
    case Action::kRemoveDirectory:
    case Action::kUnlink:
      return Remove(subject, step);
    case Action::kRename:
      return Rename(subject, step);
    case Action::kLink:
    case Action::kSymlink:
      return LinkOrSymlink(subject, step);
    case Action::kReadHeld:
    case Action::kWriteHeld:
    case Action::kLetGo:
      return OnHeld(step);
  }
  return {};
}

Result World::Look(const Subject& subject, const Step& step) const {
  const Found found = Find(subject, step.path);
  if (found.error != 0) return Error(found.error);
  if (found.node == nullptr) return Error(ENOENT);
  Result result;
  if (step.action == Action::kStat) {
    if (!found.node->directory) {
      result.size = static_cast<int64_t>(found.node->content.size());
      result.modified = found.node->modified;
    }
    return result;
  }
  if (!found.node->directory) return Error(ENOTDIR);
  if (const int error = Judge(subject, 'L', found.object)) return Error(error);
  result.names.emplace();
  for (const auto& [name, child] : found.node->children) {
    if (Judge(subject, 'S', ObjectOf(Join(found.path, name), *child)) == 0) {
      result.names->push_back(name);
    }
  }
  return result;
}

Result World::Access(const Subject& subject, const Step& step) const {
  const Found found = Find(subject, step.path);
  if (found.error != 0) return Error(found.error);
  if (found.node == nullptr) return Error(ENOENT);
  std::set<int> errors;
  if ((step.flags & R_OK) != 0) {
    errors.insert(
        Judge(subject, found.node->directory ? 'L' : 'R', found.object));
  }
  if ((step.flags & W_OK) != 0) {
    errors.insert(Judge(subject, 'W', found.object));
  }
  return Errors(std::move(errors));
}

Result World::Open(const Subject& subject, const Step& step) {
  const Found found = Find(subject, step.path);
  if (found.error != 0) return Error(found.error);
  if (found.node == nullptr) return Error(ENOENT);
  const bool held_to_write =
      step.action == Action::kHold && step.flags == O_RDWR;
  const bool reads =
      step.action != Action::kWrite && step.action != Action::kAppend;
  const bool writes = step.action == Action::kHold
                          ? held_to_write
                          : step.action != Action::kRead;
  if (found.node->directory) return Error(EISDIR);
  std::set<int> errors;
  if (reads) errors.insert(Judge(subject, 'R', found.object));
  if (writes) errors.insert(Judge(subject, 'W', found.object));
  Result result = Errors(std::move(errors));
  if (!result.ok()) return result;
  Node& node = *found.node;
  if (step.action == Action::kRead || step.action == Action::kReadAndWrite) {
    result.data = node.content;
  }
  if (step.action == Action::kTruncatingRead) {
    Resize(node, 0);
  } else if (step.action == Action::kHold) {
    held_[{step.actor, step.view}] = {found.node, step.flags};
  } else if (writes) {
    WriteAt(node, step.action == Action::kAppend ? node.content.size() : 0,
            step.text);
  }
  return result;
}

Result World::Change(const Subject& subject, const Step& step) {
  const Found found = Find(subject, step.path);
  if (found.error != 0) return Error(found.error);
  if (found.node == nullptr) return Error(ENOENT);
  if (step.action == Action::kChangeMode) return {};
  if (found.node->directory) return Error(EISDIR);
  if (const int error = Judge(subject, 'W', found.object)) return Error(error);
  if (step.action == Action::kTruncate) {
    Resize(*found.node, step.number);
  } else {
    found.node->modified = step.number;
  }
  return {};
}

Result World::Make(const Subject& subject, const Step& step) {
  const Found found = Find(subject, step.path);
  const bool directory = step.action == Action::kMakeDirectory;
  if (found.error != 0) return Error(found.error);
  if (found.node != nullptr) {
    if (step.action != Action::kOpenOrCreate) return Error(EEXIST);
    if (found.node->directory) return Error(EISDIR);
    const Result result = Errors(
        {Judge(subject, 'R', found.object), Judge(subject, 'W', found.object)});
    if (result.ok()) WriteAt(*found.node, 0, step.text);
    return result;
  }
  const Object object = {found.path, directory, kNobody};
  const Result result =
      Errors(JudgeNew(subject, directory ? 'M' : 'C', object));
  if (!result.ok()) return result;
  auto node = std::make_shared<Node>();
  node->directory = directory;
  node->owner = subject.owner;
  if (step.action == Action::kCreate || step.action == Action::kOpenOrCreate) {
    node->content = step.text;
  }
  found.parent->children[found.path.back()] = std::move(node);
  return result;
}

Result World::Remove(const Subject& subject, const Step& step) {
  const Found found = Find(subject, step.path);
  const bool directory = step.action == Action::kRemoveDirectory;
  if (found.error != 0) return Error(found.error);
  if (found.node == nullptr) return Error(ENOENT);
  if (found.node->directory != directory) {
    return Error(directory ? ENOTDIR : EISDIR);
  }
  if (const int error = Judge(subject, directory ? 'X' : 'D', found.object)) {
    return Error(error);
  }
  if (!found.node->children.empty()) return Error(ENOTEMPTY);
  found.parent->children.erase(found.path.back());
  return {};
}

Result World::Rename(const Subject& subject, const Step& step) {
  const Found from = Find(subject, step.path);
  const Found to = Find(subject, step.target);
  const bool exchange = step.flags == RENAME_EXCHANGE;
  // First what the kernel says by what it sees.
  if (from.error != 0) return Error(from.error);
  if (to.error != 0) return Error(to.error);
  if (from.node == nullptr) return Error(ENOENT);
  if (step.flags == RENAME_NOREPLACE && to.node != nullptr) {
    return Error(EEXIST);
  }
  if (exchange && to.node == nullptr) return Error(ENOENT);
  if (IsWithin(to.path, from.path)) return Error(EINVAL);
  if (IsWithin(from.path, to.path)) {
    return Error(exchange ? EINVAL : ENOTEMPTY);
  }
  if (from.node == to.node) return {};
  if (to.node != nullptr && !exchange &&
      to.node->directory != from.node->directory) {
    return Error(to.node->directory ? EISDIR : ENOTDIR);
  }
  std::set<int> errors = JudgeMove(subject, from.path, to.path, *from.node);
  if (exchange) {
    errors.merge(JudgeMove(subject, to.path, from.path, *to.node));
  } else if (to.node != nullptr) {
    errors.insert(Judge(subject, to.node->directory ? 'X' : 'D', to.object));
  }
  Result result = Errors(std::move(errors));
  if (!result.ok()) return result;
  if (!exchange && to.node != nullptr && !to.node->children.empty()) {
    return Error(ENOTEMPTY);
  }
  if (exchange) {
    from.parent->children[from.path.back()] = to.node;
  } else {
    from.parent->children.erase(from.path.back());
  }
  to.parent->children[to.path.back()] = from.node;
  return result;
}

Result World::LinkOrSymlink(const Subject& subject, const Step& step) const {
  const bool link = step.action == Action::kLink;
  const Found from = Find(subject, step.path);
  const Found to = Find(subject, link ? step.target : step.path);
  if (link && from.error != 0) return Error(from.error);
  if (link && from.node == nullptr) return Error(ENOENT);
  if (to.error != 0) return Error(to.error);
  if (to.node != nullptr) return Error(EEXIST);
  if (link && from.node->directory) return Error(EPERM);
  const Object object = {to.path, false, kNobody};
  return Error(Judge(subject, 'S', object) == 0 ? EPERM : ENOENT);
}

Result World::OnHeld(const Step& step) {
  const auto held = held_.find({step.actor, step.view});
  if (held == held_.end()) return {};
  Node& node = *held->second.node;
  Result result;
  if (step.action == Action::kLetGo) {
    held_.erase(held);
  } else if (step.action == Action::kReadHeld) {
    result.data = node.content;
  } else if (held->second.flags != O_RDWR) {
    return Error(EBADF);
  } else {
    WriteAt(node, 0, step.text);
  }
  return result;
}

}  // namespace fused::androidtest::model
