#include "policy/source_map.h"

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/call_once.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/message.h"
#include "google/protobuf/text_format.h"
#include "policy/issue.h"
#include "policy/parse.h"

namespace fused::policy {
namespace {

using ParseInfoTree = ::google::protobuf::TextFormat::ParseInfoTree;
using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;

// It was parsed before: what is wrong is known.
class Quiet : public ::google::protobuf::io::ErrorCollector {
 public:
  void AddError(int, ::google::protobuf::io::ColumnNumber,
                const std::string&) override {}
};

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
  std::string content;
  std::unique_ptr<Message> prototype;
  mutable absl::once_flag once;
  mutable ParseInfoTree tree;

  const ParseInfoTree& Places() const {
    absl::call_once(once, [this] {
      Quiet errors;
      ::google::protobuf::TextFormat::Parser parser;
      parser.RecordErrorsTo(&errors);
      parser.WriteLocationsTo(&tree);
      parser.SetRecursionLimit(kMaxDepth);
      const std::unique_ptr<Message> message(prototype->New());
      parser.ParseFromString(content, message.get());
    });
    return tree;
  }
};

Issue SourceMap::At(std::string_view field, std::string reason,
                    bool warning) const {
  Issue issue{file_, 0, 0, std::string(field), std::move(reason), warning};
  if (tree_ == nullptr) return issue;
  // The start of the text, until something nearer is found.
  issue.line = 1;
  issue.column = 1;
  const ParseInfoTree* tree = &tree_->Places();
  const Descriptor* type = tree_->prototype->GetDescriptor();
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

SourceMap SourceMapBuilder::Binary(std::string_view file) {
  SourceMap map;
  map.file_ = std::string(file);
  return map;
}

SourceMap SourceMapBuilder::Text(std::string_view file,
                                 std::string_view content,
                                 const Message& prototype) {
  SourceMap map = Binary(file);
  auto tree = std::make_shared<SourceMap::Tree>();
  tree->content = std::string(content);
  tree->prototype.reset(prototype.New());
  map.tree_ = std::move(tree);
  return map;
}

}  // namespace fused::policy
