#include "policy/source_map.h"

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/text_format.h"
#include "policy/issue.h"
#include "policy/parse.h"

namespace fused::policy {
namespace {

using ParseInfoTree = ::google::protobuf::TextFormat::ParseInfoTree;
using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;

struct Step {
  std::string name;
  int index = -1;
};

// "rules[3]" is {"rules", 3}.
Step ParseStep(std::string_view text) {
  Step step;
  const size_t bracket = text.find('[');
  step.name = std::string(text.substr(0, bracket));
  if (bracket != std::string_view::npos) {
    text.remove_prefix(bracket + 1);
    if (!absl::SimpleAtoi(text.substr(0, text.find(']')), &step.index)) {
      step.index = -1;
    }
  }
  return step;
}

}  // namespace

struct SourceMap::Tree {
  const Descriptor* type = nullptr;
  ParseInfoTree tree;
};

Issue SourceMap::At(std::string_view field, std::string reason,
                    bool warning) const {
  Issue issue{file_, 0, 0, std::string(field), std::move(reason), warning};
  if (tree_ == nullptr) return issue;
  // The start of the text, until something nearer is found.
  issue.line = 1;
  issue.column = 1;
  const ParseInfoTree* tree = &tree_->tree;
  const Descriptor* type = tree_->type;
  for (const std::string_view part : absl::StrSplit(field, '.')) {
    const Step step = ParseStep(part);
    const FieldDescriptor* const descriptor =
        type == nullptr ? nullptr : type->FindFieldByName(step.name);
    if (descriptor == nullptr || tree == nullptr) break;
    int index = descriptor->is_repeated() ? std::max(step.index, 0) : -1;
    const ParseInfoTree* const nested =
        descriptor->message_type() == nullptr
            ? nullptr
            : tree->GetTreeForNested(descriptor, index);
    // All of `[a, b]` has the place of its first.
    auto location = tree->GetLocation(descriptor, index);
    while (location.line < 0 && index > 0) {
      location = tree->GetLocation(descriptor, --index);
    }
    if (location.line < 0) break;
    issue.line = location.line + 1;
    issue.column = location.column + 1;
    tree = nested;
    type = descriptor->message_type();
  }
  return issue;
}

SourceMapBuilder::SourceMapBuilder(std::string_view file,
                                   const Descriptor& type)
    : file_(file), tree_(std::make_shared<SourceMap::Tree>()) {
  tree_->type = &type;
}

SourceMapBuilder::~SourceMapBuilder() = default;

ParseInfoTree* SourceMapBuilder::tree() { return &tree_->tree; }

SourceMap SourceMapBuilder::Build() && {
  SourceMap map = Binary();
  map.tree_ = std::move(tree_);
  return map;
}

SourceMap SourceMapBuilder::Binary() const {
  SourceMap map;
  map.file_ = std::string(file_);
  return map;
}

}  // namespace fused::policy
