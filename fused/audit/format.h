// Records as text.
#ifndef FUSED_FUSED_AUDIT_FORMAT_H_
#define FUSED_FUSED_AUDIT_FORMAT_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fused/audit/event.h"
#include "proto/audit.pb.h"

namespace fused::audit {

// The record of an event, as one that stands for `count`. Text that is no UTF-8
// is escaped.
v1::Record ToRecord(const Event& event, uint64_t count);

// "ENOENT"; "errno 5" for one that no rule gives. Empty for 0.
std::string ErrorName(int error);

// One line of JSON with its newline: proto field names, empty fields left out.
// Lines, so that grep, tail and jq serve without a tool of ours, and a line
// that a crash cut is one record lost and not all behind it.
std::string ToLine(const v1::Record& record);
// Nothing: it is none.
std::optional<v1::Record> FromLine(std::string_view line);

// The fields of a journal entry, "NAME=value": MESSAGE, PRIORITY and FUSED_*.
std::vector<std::string> ToJournal(const v1::Record& record);

// "DENY LOOKUP uid 10061 (a.b) Android/data/c: ENOENT, rule x, 12 times".
std::string ToSentence(const v1::Record& record);

}  // namespace fused::audit

#endif  // FUSED_FUSED_AUDIT_FORMAT_H_
