// Makes SourceMaps; for the parser alone.
#ifndef FUSED_POLICY_SOURCE_MAP_H_
#define FUSED_POLICY_SOURCE_MAP_H_

#include <string_view>

#include "google/protobuf/message.h"
#include "policy/parse.h"

namespace fused::policy {

// Deep enough for any condition that a person can read.
inline constexpr int kMaxDepth = 64;

class SourceMapBuilder {
 public:
  // Of input that has no lines.
  static SourceMap Binary(std::string_view file);
  // Of text that was parsed as a message of the type of `prototype`. It is read
  // once more when a place in it is asked for: to note all places costs more
  // than to parse it, and what is right is never asked for one.
  static SourceMap Text(std::string_view file, std::string_view content,
                        const google::protobuf::Message& prototype);
};

}  // namespace fused::policy

#endif  // FUSED_POLICY_SOURCE_MAP_H_
