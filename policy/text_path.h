// Where in a textproto an error stands, as a field's path: the text format
// parser tells only line and column.
#ifndef FUSED_POLICY_TEXT_PATH_H_
#define FUSED_POLICY_TEXT_PATH_H_

#include <string>
#include <string_view>

#include "google/protobuf/descriptor.h"

namespace fused::policy {

// The path of the field that stands at `line` and `column` (both from 0), as
// "rules[3].when.permision": for text that is not parsed whole, as far as it
// goes.
std::string FieldAt(std::string_view text, int line, int column,
                    const google::protobuf::Descriptor& type);

}  // namespace fused::policy

#endif  // FUSED_POLICY_TEXT_PATH_H_
