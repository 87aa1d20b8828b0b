#include "fused/grant_book.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/log/log.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "kernel/status.h"
#include "proto/state.pb.h"

namespace fused {
namespace {

using policy::v1::Grant;

constexpr char kDefaultVolume[] = "external_primary";

// Follows the path by what is found; no name in it leads elsewhere.
absl::StatusOr<Ref<LowerNode>> Walk(LowerTree& tree, const std::string& path) {
  Ref<LowerNode> node = tree.root();
  for (const std::string& name :
       std::vector<std::string>(absl::StrSplit(path, '/'))) {
    absl::StatusOr<LowerTree::Found> found = tree.Lookup(node, name.c_str());
    if (!found.ok()) return found.status();
    node = std::move(found->node);
  }
  return node;
}

Grants::Entry EntryOf(const Grant& grant, policy::AppIndex app) {
  Grants::Entry entry;
  entry.app = app;
  entry.user = grant.user();
  entry.write = grant.access() == Grant::GRANT_WRITE;
  if (grant.has_expires()) {
    entry.expires = absl::FromUnixSeconds(grant.expires().seconds()) +
                    absl::Nanoseconds(grant.expires().nanos());
  }
  return entry;
}

std::string_view VolumeOf(const Grant& grant) {
  return grant.volume().empty() ? kDefaultVolume
                                : std::string_view(grant.volume());
}

}  // namespace

void GrantBook::Load() {
  absl::StatusOr<std::optional<std::string>> kept = state_->Read(kGrantsFile);
  state::v1::GrantBindings message;
  if (!kept.ok() || (kept->has_value() && !message.ParseFromString(**kept))) {
    LOG(ERROR) << kGrantsFile
               << " can't be used; what was granted before is "
                  "bound anew: "
               << kernel::Describe(kept.status());
    return;
  }
  for (const state::v1::GrantBinding& kept_binding : message.bindings()) {
    Binding binding;
    const std::string& bytes = kept_binding.handle();
    if (!bytes.empty() && bytes.size() <= kernel::FileHandle::kMaxBytes) {
      binding.handle.emplace();
      binding.handle->type = kept_binding.handle_type();
      binding.handle->size = static_cast<uint32_t>(bytes.size());
      std::memcpy(binding.handle->bytes, bytes.data(), bytes.size());
    }
    Find(kept_binding.grant(), binding);
    bindings_.emplace(kept_binding.grant().SerializeAsString(),
                      std::move(binding));
  }
}

void GrantBook::Find(const Grant& grant, Binding& binding) const {
  if (!binding.handle.has_value()) return;
  LowerTree* const tree = find_tree_(VolumeOf(grant), grant.user());
  if (tree == nullptr) return;
  absl::StatusOr<LowerTree::Found> found = tree->FindHandle(*binding.handle);
  // Without a name it is only not yet freed.
  if (!found.ok() || found->stat.st_nlink == 0) return;
  binding.file = std::make_shared<GrantedFile>(std::move(found->node));
}

GrantBook::Binding GrantBook::Make(const Grant& grant,
                                   std::string& problem) const {
  LowerTree* const tree = find_tree_(VolumeOf(grant), grant.user());
  if (tree == nullptr) {
    problem = absl::StrCat("user ", grant.user(), " has no volume \"",
                           VolumeOf(grant), "\"");
    return {};
  }
  absl::StatusOr<Ref<LowerNode>> node = Walk(*tree, grant.path());
  if (!node.ok() || !(*node)->is_regular()) {
    problem = node.ok() ? "is no file" : kernel::Describe(node.status());
    return {};
  }
  Binding binding;
  binding.handle = (*node)->Handle();
  binding.file = std::make_shared<GrantedFile>(*std::move(node));
  return binding;
}

absl::StatusOr<std::shared_ptr<const Grants>> GrantBook::Bind(
    const policy::Snapshot& snapshot, const policy::Snapshot& in_force,
    policy::Issues& warnings) {
  auto grants = std::make_shared<Grants>();
  // Those in force, of what there is from pushes that came to nothing.
  Bindings all;
  for (const std::shared_ptr<const Grant>& one : in_force.grants()) {
    const auto known = bindings_.find(one->SerializeAsString());
    if (known != bindings_.end()) all.insert(*known);
  }
  bool changed = false;
  int index = -1;
  for (const std::shared_ptr<const Grant>& one : snapshot.grants()) {
    const Grant& grant = *one;
    ++index;
    std::string problem;
    const std::string key = grant.SerializeAsString();
    auto known = all.find(key);
    if (known == all.end()) {
      changed = true;
      known = all.emplace(key, Make(grant, problem)).first;
    }
    const Binding& binding = known->second;
    const std::optional<policy::Subject> subject =
        snapshot.SubjectOfPackage(grant.package(), grant.user());
    if (!subject.has_value()) {
      problem = absl::StrCat("no app is called \"", grant.package(), "\"");
    } else if (binding.file != nullptr && !binding.file->gone()) {
      grants->Add(binding.file, EntryOf(grant, subject->app));
    } else if (problem.empty()) {
      problem = "the file that it was bound to is gone";
    }
    if (problem.empty()) continue;
    policy::Issue issue;
    issue.field = absl::StrCat("grants[", index, "]");
    issue.reason = absl::StrCat(grant.path(), ": grants nothing: ", problem);
    issue.warning = true;
    warnings.push_back(std::move(issue));
  }
  if (changed || all.size() != bindings_.size()) {
    absl::Status status = Keep(all);
    if (!status.ok()) return status;
  }
  bindings_ = std::move(all);
  return grants;
}

absl::Status GrantBook::Keep(const Bindings& bindings) const {
  state::v1::GrantBindings message;
  for (const auto& [grant, binding] : bindings) {
    state::v1::GrantBinding& out = *message.add_bindings();
    out.mutable_grant()->ParseFromString(grant);
    if (!binding.handle.has_value()) continue;
    const kernel::FileHandle& handle = *binding.handle;
    out.set_handle_type(handle.type);
    out.set_handle(
        std::string(reinterpret_cast<const char*>(handle.bytes), handle.size));
  }
  return state_->Write(kGrantsFile, message.SerializeAsString());
}

}  // namespace fused
