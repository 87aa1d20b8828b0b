#include "fused/explain.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_split.h"
#include "fused/control/convert.h"
#include "policy/types.h"

namespace fused {
namespace {

// The object that the path names: what is there, else what would be.
absl::StatusOr<policy::Object> ObjectOf(std::string_view path,
                                        const policy::Snapshot& snapshot,
                                        LowerTree& tree) {
  const bool directory = path.empty() || path.back() == '/';
  const auto parts = absl::StrSplit(path, '/', absl::SkipEmpty());
  const std::vector<std::string> names(parts.begin(), parts.end());
  Ref<LowerNode> node = tree.root();
  policy::Location location = snapshot.Root(tree.user());
  for (const std::string& name : names) {
    if (name == "." || name == "..") {
      return absl::InvalidArgumentError(
          "the path must be relative to the volume, without . and ..");
    }
    // What a directory hides is told by the directory.
    if (node != nullptr) location = node->Classify(snapshot).location;
    location = snapshot.Child(location, name);
    if (node == nullptr || !node->is_directory()) {
      node = nullptr;
      continue;
    }
    absl::StatusOr<LowerTree::Found> found = tree.Lookup(node, name.c_str());
    node = found.ok() ? std::move(found->node) : nullptr;
  }
  if (node != nullptr) return node->Classify(snapshot).object;
  return snapshot.ObjectAt(location, names.empty() ? "" : names.back(),
                           directory, policy::kNoApp);
}

}  // namespace

absl::StatusOr<control::v1::Explanation> ExplainRequest(
    const control::v1::ExplainRequest& request, const InForce& rules,
    LowerTree& tree) {
  const policy::Snapshot& snapshot = *rules.snapshot;
  const std::optional<policy::Operation> operation =
      control::OperationOf(request.operation());
  if (!operation.has_value()) {
    return absl::InvalidArgumentError("no single operation is given");
  }
  absl::StatusOr<policy::Object> object =
      ObjectOf(request.path(), snapshot, tree);
  if (!object.ok()) return object.status();
  const policy::Subject subject = snapshot.SubjectOf(request.uid());
  if (rules.grants != nullptr &&
      rules.grants->OperationsOf(object->file, subject).Has(*operation)) {
    object->facts |= policy::kFactGranted;
  }
  return control::ToMessage(snapshot, *object,
                            snapshot.Explain(subject, *object, *operation));
}

}  // namespace fused
