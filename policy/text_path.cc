#include "policy/text_path.h"

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"

namespace fused::policy {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;

// Follows the text up to a place, keeping the messages that are open there.
class Follower {
 public:
  Follower(std::string_view text, int line, int column, const Descriptor& type)
      : text_(text), line_wanted_(line), column_wanted_(column) {
    open_.push_back({&type, {}, "", false});
  }

  std::string Run() {
    while (at_ < text_.size() && !Reached()) Token();
    std::string path;
    for (const Message& message : open_) {
      if (message.field.empty()) break;
      if (!path.empty()) path += ".";
      path += message.field;
    }
    return path;
  }

 private:
  struct Message {
    const Descriptor* type;  // null where the field is unknown
    std::map<std::string, int, std::less<>> seen;
    std::string field;  // the last one, with its index
    bool in_value = false;
    int lists = 0;
  };

  bool Reached() const {
    return line_ > line_wanted_ ||
           (line_ == line_wanted_ && column_ > column_wanted_);
  }

  // Counts columns as the tokenizer does.
  void Advance() {
    const char c = text_[at_++];
    if (c == '\n') {
      ++line_;
      column_ = 0;
    } else if (c == '\t') {
      column_ += 8 - column_ % 8;
    } else {
      ++column_;
    }
  }

  void Token() {
    const char c = text_[at_];
    if (c == '#') {
      while (at_ < text_.size() && text_[at_] != '\n') Advance();
    } else if (c == '"' || c == '\'') {
      String(c);
    } else if (absl::ascii_isalpha(static_cast<unsigned char>(c)) || c == '_') {
      Identifier();
    } else if (absl::ascii_isdigit(static_cast<unsigned char>(c))) {
      while (at_ < text_.size() && IsWord(text_[at_]) && !Reached()) Advance();
      EndValue();
    } else {
      Symbol(c);
      Advance();
    }
  }

  void String(char quote) {
    Advance();
    while (at_ < text_.size() && text_[at_] != quote && text_[at_] != '\n') {
      if (text_[at_] == '\\' && at_ + 1 < text_.size()) Advance();
      Advance();
    }
    if (at_ < text_.size()) Advance();
    EndValue();
  }

  void Identifier() {
    const size_t start = at_;
    const bool value = open_.back().in_value;
    // The field's name counts from its first letter on.
    if (!value) {
      size_t end = at_;
      while (end < text_.size() && IsWord(text_[end])) ++end;
      SetField(text_.substr(start, end - start));
    }
    while (at_ < text_.size() && IsWord(text_[at_]) && !Reached()) Advance();
    if (value && !Reached()) EndValue();
  }

  static bool IsWord(char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' ||
           c == '.' || c == '-' || c == '+';
  }

  void Symbol(char c) {
    Message& message = open_.back();
    switch (c) {
      case ':':
        message.in_value = true;
        break;
      case '[':
        ++message.lists;
        break;
      case ']':
        if (message.lists > 0) --message.lists;
        EndValue();
        break;
      case '{':
      case '<':
        Open();
        break;
      case '}':
      case '>':
        if (open_.size() > 1) {
          open_.pop_back();
          EndValue();
        }
        break;
      case ',':
        if (message.lists > 0) SetField(NameOf(message));
        break;
      default:
        break;
    }
  }

  static std::string NameOf(const Message& message) {
    return message.field.substr(0, message.field.find('['));
  }

  void EndValue() {
    if (open_.back().lists == 0) open_.back().in_value = false;
  }

  const FieldDescriptor* Find(const Message& message,
                              const std::string& name) const {
    return message.type == nullptr ? nullptr
                                   : message.type->FindFieldByName(name);
  }

  void SetField(std::string_view name) {
    Message& message = open_.back();
    std::string field(name);
    const FieldDescriptor* const descriptor = Find(message, field);
    const int index = message.seen[field]++;
    if (descriptor != nullptr && descriptor->is_repeated()) {
      absl::StrAppend(&field, "[", index, "]");
    }
    message.field = std::move(field);
  }

  void Open() {
    Message& message = open_.back();
    const FieldDescriptor* const descriptor = Find(message, NameOf(message));
    open_.push_back(
        {descriptor == nullptr ? nullptr : descriptor->message_type(),
         {},
         "",
         false});
  }

  const std::string_view text_;
  const int line_wanted_;
  const int column_wanted_;
  size_t at_ = 0;
  int line_ = 0;
  int column_ = 0;
  std::vector<Message> open_;
};

}  // namespace

std::string FieldAt(std::string_view text, int line, int column,
                    const Descriptor& type) {
  return Follower(text, line, column, type).Run();
}

}  // namespace fused::policy
