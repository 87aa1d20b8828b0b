#include "fused/explain.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/str_split.h"
#include "fused/explanation.h"

namespace fused {
namespace {

// From policy.proto's LOOKUP on, both enumerations go side by side.
absl::StatusOr<policy::Operation> OperationOf(policy::v1::Operation operation) {
  const int index =
      static_cast<int>(operation) - static_cast<int>(policy::v1::LOOKUP);
  if (index < 0 || index >= policy::kOperations) {
    return absl::InvalidArgumentError("no operation is given");
  }
  return static_cast<policy::Operation>(index);
}

// The object that the path names: what is there, else what would be.
absl::StatusOr<policy::Object> ObjectOf(std::string_view path,
                                        const policy::Snapshot& snapshot,
                                        LowerTree& tree) {
  const bool directory = path.empty() || path.back() == '/';
  const auto parts = absl::StrSplit(path, '/', absl::SkipEmpty());
  const std::vector<std::string> names(parts.begin(), parts.end());
  std::shared_ptr<LowerNode> node = tree.root();
  policy::Location location = snapshot.Root(tree.user());
  for (const std::string& name : names) {
    if (name == "." || name == "..") {
      return absl::InvalidArgumentError(
          "the path must be relative to the volume, without . and ..");
    }
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
    const control::v1::ExplainRequest& request,
    const policy::Snapshot& snapshot, LowerTree& tree) {
  absl::StatusOr<policy::Operation> operation =
      OperationOf(request.operation());
  if (!operation.ok()) return operation.status();
  absl::StatusOr<policy::Object> object =
      ObjectOf(request.path(), snapshot, tree);
  if (!object.ok()) return object.status();
  return ExplanationProto(
      snapshot.Explain(snapshot.SubjectOf(request.uid()), *object, *operation),
      *object, snapshot);
}

}  // namespace fused
