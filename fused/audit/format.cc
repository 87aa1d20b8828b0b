#include "fused/audit/format.h"

#include <syslog.h>

#include <cerrno>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/util/json_util.h"

namespace fused::audit {
namespace {

// Whether the text is UTF-8 as RFC 3629 has it.
bool IsUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i++]);
    if (lead < 0x80) continue;
    const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 ||
        i + static_cast<size_t>(more) > text.size()) {
      return false;
    }
    uint32_t rune = lead & (0x3fu >> more);
    for (int k = 0; k < more; ++k, ++i) {
      const auto next = static_cast<unsigned char>(text[i]);
      if ((next & 0xc0) != 0x80) return false;
      rune = rune << 6 | (next & 0x3fu);
    }
    constexpr uint32_t kLeast[] = {0, 0x80, 0x800, 0x10000};
    if (rune < kLeast[more] || rune > 0x10ffff ||
        (rune >= 0xd800 && rune < 0xe000)) {
      return false;
    }
  }
  return true;
}

template <uint16_t N>
std::string Clean(const Text<N>& text) {
  std::string_view view = text.view();
  // A cut may have gone through a character.
  if (text.cut()) {
    while (!view.empty() && (view.back() & 0xc0) == 0x80) view.remove_suffix(1);
    if (!view.empty() && (view.back() & 0x80) != 0) view.remove_suffix(1);
  }
  std::string clean = IsUtf8(view) ? std::string(view) : absl::CHexEscape(view);
  if (text.cut()) clean += "...";
  return clean;
}

}  // namespace

std::string ErrorName(int error) {
  switch (error) {
    case 0:
      return "";
    case ENOENT:
      return "ENOENT";
    case EACCES:
      return "EACCES";
    case EPERM:
      return "EPERM";
    case EBADMSG:
      return "EBADMSG";
    case EMSGSIZE:
      return "EMSGSIZE";
    case EBUSY:
      return "EBUSY";
    default:
      return absl::StrCat("errno ", error);
  }
}

v1::Record ToRecord(const Event& event, uint64_t count) {
  constexpr int64_t kSecond = 1000000000;
  v1::Record record;
  record.mutable_time()->set_seconds(event.time / kSecond);
  record.mutable_time()->set_nanos(static_cast<int32_t>(event.time % kSecond));
  record.set_kind(event.kind);
  record.set_epoch(event.epoch);
  record.set_rule(Clean(event.rule));
  record.set_operation(Clean(event.operation));
  record.set_uid(event.uid);
  record.set_package(Clean(event.package));
  record.set_volume(Clean(event.volume));
  record.set_path(Clean(event.path));
  record.set_path_class(Clean(event.path_class));
  record.set_error(ErrorName(event.error));
  record.set_message(Clean(event.message));
  record.set_count(count);
  return record;
}

std::string ToLine(const v1::Record& record) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(record, &text, options)
           .ok()) {
    return "";
  }
  return text + "\n";
}

std::optional<v1::Record> FromLine(std::string_view line) {
  v1::Record record;
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  if (line.empty() || !google::protobuf::util::JsonStringToMessage(
                           std::string(line), &record, options)
                           .ok()) {
    return std::nullopt;
  }
  return record;
}

std::string ToSentence(const v1::Record& record) {
  std::string text = v1::Record::Kind_Name(record.kind());
  // A state is the daemon's own, but for a view's.
  const bool of_uid =
      record.kind() != v1::Record::DROPPED &&
      (record.kind() != v1::Record::STATE || !record.package().empty());
  if (!record.operation().empty()) {
    absl::StrAppend(&text, " ", record.operation());
  }
  if (of_uid) absl::StrAppend(&text, " uid ", record.uid());
  if (!record.package().empty()) {
    absl::StrAppend(&text, " (", record.package(), ")");
  }
  if (!record.path().empty()) absl::StrAppend(&text, " ", record.path());
  if (!record.error().empty()) absl::StrAppend(&text, ": ", record.error());
  if (!record.rule().empty()) absl::StrAppend(&text, ", rule ", record.rule());
  if (!record.message().empty()) absl::StrAppend(&text, ": ", record.message());
  if (record.count() > 1) {
    absl::StrAppend(&text, ", ", record.count(), " times");
  }
  return text;
}

std::vector<std::string> ToJournal(const v1::Record& record) {
  const bool grave = record.kind() == v1::Record::PUSH ||
                     record.kind() == v1::Record::CONTROL ||
                     record.kind() == v1::Record::DROPPED;
  std::vector<std::string> fields = {
      absl::StrCat("MESSAGE=", ToSentence(record)),
      absl::StrCat("PRIORITY=", grave ? LOG_NOTICE : LOG_INFO),
      "SYSLOG_IDENTIFIER=fused",
      absl::StrCat("FUSED_KIND=", v1::Record::Kind_Name(record.kind())),
      absl::StrCat("FUSED_UID=", record.uid()),
      absl::StrCat("FUSED_COUNT=", record.count()),
      absl::StrCat("FUSED_EPOCH=", record.epoch()),
  };
  const std::pair<const char*, const std::string*> kTexts[] = {
      {"FUSED_OPERATION=", &record.operation()},
      {"FUSED_PACKAGE=", &record.package()},
      {"FUSED_VOLUME=", &record.volume()},
      {"FUSED_PATH=", &record.path()},
      {"FUSED_PATH_CLASS=", &record.path_class()},
      {"FUSED_RULE=", &record.rule()},
      {"FUSED_ERROR=", &record.error()}};
  for (const auto& [name, value] : kTexts) {
    if (!value->empty()) fields.push_back(name + *value);
  }
  return fields;
}

}  // namespace fused::audit
