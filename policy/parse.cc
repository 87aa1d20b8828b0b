#include "policy/parse.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/tokenizer.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/message.h"
#include "google/protobuf/text_format.h"
#include "google/protobuf/unknown_field_set.h"
#include "policy/issue.h"
#include "policy/names.h"
#include "policy/parse_message.h"
#include "policy/source_map.h"
#include "policy/text_path.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

namespace pb = ::google::protobuf;

// The text format's parser tells of an unknown enumerator when it has read past
// it: goes back to the place of `name`, from the line and column (both from 0)
// that it gives. A tab fills up to a multiple of eight, as it counts.
void GoBackTo(std::string_view name, std::string_view content, int& line,
              int& column) {
  size_t end = 0;
  for (int i = 0; i < line && end != std::string_view::npos; ++i) {
    end = content.find('\n', end);
    if (end != std::string_view::npos) ++end;
  }
  if (end == std::string_view::npos) return;
  end = std::min(content.size(), end + static_cast<size_t>(column));
  const size_t found = content.rfind(name, end);
  if (found == std::string_view::npos) return;
  line = 0;
  column = 0;
  for (const char c : content.substr(0, found)) {
    if (c == '\n') {
      ++line;
      column = 0;
    } else {
      column += c == '\t' ? 8 - column % 8 : 1;
    }
  }
}

// The first text in double quotes of a message.
std::string_view Quoted(std::string_view message) {
  const size_t begin = message.find('"');
  if (begin == std::string_view::npos) return "";
  message.remove_prefix(begin + 1);
  return message.substr(0, message.find('"'));
}

class TextErrors : public pb::io::ErrorCollector {
 public:
  TextErrors(std::string_view content, std::string_view file,
             const pb::Descriptor& type, Issues& issues)
      : content_(content), file_(file), type_(type), issues_(issues) {}

  // Both from 0; -1 for the input as a whole.
  void AddError(int line, pb::io::ColumnNumber column,
                const std::string& message) override {
    const std::string_view name = Quoted(message);
    if (absl::StartsWith(message, "Unknown enumeration value") && line >= 0 &&
        !name.empty()) {
      GoBackTo(name, content_, line, column);
    }
    issues_.push_back({std::string(file_), line + 1, column + 1,
                       line < 0 ? "" : FieldAt(content_, line, column, type_),
                       message});
  }

 private:
  std::string_view content_;
  std::string_view file_;
  const pb::Descriptor& type_;
  Issues& issues_;
};

// Whether `content` can be text at all. A binary message has tags and lengths
// among the control characters.
bool LooksLikeText(std::string_view content) {
  for (const char c : content) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 && (byte < '\t' || byte > '\r')) return false;
    if (byte == 0x7f) return false;
  }
  return IsUtf8(content);
}

bool ParseText(std::string_view content, std::string_view file,
               pb::Message& message, SourceMap& source, Issues& issues) {
  TextErrors errors(content, file, *message.GetDescriptor(), issues);
  pb::TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  parser.SetRecursionLimit(kMaxDepth);
  pb::io::ArrayInputStream input(content.data(),
                                 static_cast<int>(content.size()));
  source = SourceMapBuilder::Text(file, content, message);
  return parser.Parse(&input, &message);
}

bool ParseBinary(std::string_view content, pb::Message& message) {
  pb::io::CodedInputStream input(
      reinterpret_cast<const uint8_t*>(content.data()),
      static_cast<int>(content.size()));
  input.SetRecursionLimit(kMaxDepth);
  return message.ParseFromCodedStream(&input) && input.ConsumedEntireMessage();
}

// Where a message stands in those around it. Its path is put together when
// something is wrong there.
struct Place {
  const Place* parent = nullptr;
  const pb::FieldDescriptor* field = nullptr;
  int index = -1;

  std::string Path() const {
    if (field == nullptr) return "";
    std::string path = parent->Path();
    absl::StrAppend(&path, path.empty() ? "" : ".", field->name());
    if (index >= 0) absl::StrAppend(&path, "[", index, "]");
    return path;
  }
};

// What neither parser refuses: fields that nobody knows, and text that is not
// UTF-8.
void CheckContent(const pb::Message& message, const Place& place,
                  const SourceMap& source, Issues& issues) {
  const pb::Reflection& reflection = *message.GetReflection();
  const pb::UnknownFieldSet& unknown = reflection.GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count(); ++i) {
    issues.push_back(
        source.At(place.Path(),
                  absl::StrCat("unknown field ", unknown.field(i).number(),
                               " of ", message.GetDescriptor()->full_name())));
  }
  std::vector<const pb::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const pb::FieldDescriptor* field : fields) {
    const bool repeated = field->is_repeated();
    const int count = repeated ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const Place element = {&place, field, repeated ? i : -1};
      if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE) {
        CheckContent(repeated ? reflection.GetRepeatedMessage(message, field, i)
                              : reflection.GetMessage(message, field),
                     element, source, issues);
      } else if (field->cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING) {
        std::string scratch;
        const std::string& value =
            repeated ? reflection.GetRepeatedStringReference(message, field, i,
                                                             &scratch)
                     : reflection.GetStringReference(message, field, &scratch);
        if (!IsUtf8(value)) {
          issues.push_back(source.At(element.Path(), "not UTF-8"));
        }
      }
    }
  }
}

template <typename Message>
std::optional<Parsed<Message>> Parse(std::string_view content,
                                     std::string_view file, Issues& issues) {
  Parsed<Message> parsed;
  if (!ParseMessage(content, file, parsed.message, parsed.source, issues)) {
    return std::nullopt;
  }
  return parsed;
}

}  // namespace

bool ParseMessage(std::string_view content, std::string_view file,
                  pb::Message& message, SourceMap& source, Issues& issues) {
  const std::string file_name(file);
  if (content.size() > kMaxInput) {
    issues.push_back({file_name, 0, 0, "",
                      absl::StrCat("larger than ", kMaxInput, " bytes")});
    return false;
  }
  Issues found;
  bool ok = false;
  const bool text = LooksLikeText(content);
  if (text) ok = ParseText(content, file, message, source, found);
  if (!ok) {
    // A small binary message may have nothing that text has not.
    const std::unique_ptr<pb::Message> binary(message.New());
    if (ParseBinary(content, *binary)) {
      Issues unknown;
      const SourceMap none = SourceMapBuilder::Binary(file);
      CheckContent(*binary, {}, none, unknown);
      if (!text || unknown.empty()) {
        message.GetReflection()->Swap(&message, binary.get());
        source = none;
        found.clear();
        ok = true;
      }
    } else if (!text) {
      found.push_back(
          {file_name, 0, 0, "",
           absl::StrCat("neither text nor a binary ", message.GetTypeName())});
    }
  }
  if (ok) CheckContent(message, {}, source, found);
  ok &= !HasErrors(found);
  issues.insert(issues.end(), std::make_move_iterator(found.begin()),
                std::make_move_iterator(found.end()));
  return ok;
}

std::optional<Parsed<v1::Policy>> ParsePolicy(std::string_view content,
                                              std::string_view file,
                                              Issues& issues) {
  return Parse<v1::Policy>(content, file, issues);
}

std::optional<Parsed<v1::AppDirectory>> ParseApps(std::string_view content,
                                                  std::string_view file,
                                                  Issues& issues) {
  return Parse<v1::AppDirectory>(content, file, issues);
}

std::string Sha256(const pb::Message& message) {
  std::string bytes;
  {
    pb::io::StringOutputStream output(&bytes);
    pb::io::CodedOutputStream coded(&output);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  std::array<unsigned char, 32> digest;
  unsigned int size = 0;
  CHECK_EQ(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size,
                      EVP_sha256(), nullptr),
           1);
  return absl::BytesToHexString(
      {reinterpret_cast<const char*>(digest.data()), size});
}

}  // namespace fused::policy
