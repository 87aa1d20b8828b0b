// Reads policies and app directories, as textproto or binary.
#ifndef FUSED_POLICY_PARSE_H_
#define FUSED_POLICY_PARSE_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "policy/issue.h"
#include "proto/policy.pb.h"

namespace fused::policy {

// The largest input, in bytes.
inline constexpr size_t kMaxInput = 16 << 20;

// Finds the line and column of a field by its path ("rules[3].when"). Empty for
// binary input. Immutable, so thread-safe; cheap to copy.
class SourceMap {
 public:
  SourceMap() = default;

  // Makes an issue at `field`; where the text does not have it (a field that is
  // missing), at its nearest parent.
  Issue At(std::string_view field, std::string reason,
           bool warning = false) const;

  const std::string& file() const { return file_; }

 private:
  friend class SourceMapBuilder;
  struct Tree;
  std::string file_;
  std::shared_ptr<const Tree> tree_;
};

template <typename Message>
struct Parsed {
  Message message;
  SourceMap source;
};

// `content` as a Policy, or nothing and why in `issues`. Text and binary are
// told apart by content. Unknown fields are errors in both. `file` is what
// issues name.
std::optional<Parsed<v1::Policy>> ParsePolicy(std::string_view content,
                                              std::string_view file,
                                              Issues& issues);

std::optional<Parsed<v1::AppDirectory>> ParseApps(std::string_view content,
                                                  std::string_view file,
                                                  Issues& issues);

// Of the deterministic binary form, in lower-case hexadecimal.
std::string Sha256(const google::protobuf::Message& message);

}  // namespace fused::policy

#endif  // FUSED_POLICY_PARSE_H_
