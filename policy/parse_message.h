// Reads any message as policies are read; for configuration.
#ifndef FUSED_POLICY_PARSE_MESSAGE_H_
#define FUSED_POLICY_PARSE_MESSAGE_H_

#include <string_view>

#include "google/protobuf/message.h"
#include "policy/issue.h"
#include "policy/parse.h"

namespace fused::policy {

// `content` as `message`, text or binary, and where its fields stand. False:
// why not is in `issues`.
bool ParseMessage(std::string_view content, std::string_view file,
                  google::protobuf::Message& message, SourceMap& source,
                  Issues& issues);

}  // namespace fused::policy

#endif  // FUSED_POLICY_PARSE_MESSAGE_H_
