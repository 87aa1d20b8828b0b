#include "policy/redaction/xmp.h"

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/ascii.h"
#include "policy/redaction/location_names.h"

namespace fused::policy::redaction {
namespace {

constexpr size_t kMaxName = 256;
constexpr size_t kMaxDepth = 64;

// Walks XML once, from the front, holding no more of it than a name.
class Scanner {
 public:
  explicit Scanner(const Bytes& bytes) : bytes_(bytes) {}

  uint64_t position() const { return base_ + at_; }
  bool seen() const { return seen_; }
  size_t depth() const { return open_.size(); }

  // To the next '<' and past it; false where there is none. What stands before
  // it counts only within elements.
  bool NextMarkup(bool& well_formed) {
    while (!Chunk().empty()) {
      const std::string_view rest = Chunk();
      const size_t found = rest.find('<');
      const std::string_view text = rest.substr(0, found);
      if (depth() > 0 && text.find('\0') != text.npos) well_formed = false;
      at_ += text.size();
      if (found != rest.npos) {
        ++at_;
        return true;
      }
    }
    return false;
  }

  // What follows a '<'.
  bool Markup() {
    const uint64_t begin = position() - 1;
    if (!bytes_.walk().Step()) return false;
    switch (Peek()) {
      case '?':
        return SkipPast("?>");
      case '!':
        return Declaration();
      case '/':
        return EndTag();
      default:
        return StartTag(begin);
    }
  }

 private:
  std::string_view Chunk() {
    if (at_ >= chunk_.size()) {
      base_ += at_;
      at_ = 0;
      chunk_ = bytes_.Peek(base_);
    }
    return chunk_.substr(at_);
  }

  // -1 at the end.
  int Peek() {
    const std::string_view rest = Chunk();
    return rest.empty() ? -1 : static_cast<unsigned char>(rest.front());
  }

  bool Take(char wanted) {
    if (Peek() != static_cast<unsigned char>(wanted)) return false;
    ++at_;
    return true;
  }

  // Past the next `text`, which begins with a character that is not repeated
  // in it but in a row.
  bool SkipPast(std::string_view text) {
    std::string last;
    while (Peek() >= 0) {
      const std::string_view rest = Chunk();
      if (last.empty()) {
        const size_t found = rest.find(text.front());
        if (found == rest.npos) {
          at_ += rest.size();
          continue;
        }
        at_ += found;
      }
      last.push_back(Chunk().front());
      ++at_;
      while (!last.empty() && text.substr(0, last.size()) != last) {
        last.erase(0, 1);
      }
      if (last.size() == text.size()) return true;
    }
    return false;
  }

  bool Declaration() {
    ++at_;
    if (Take('-')) return Take('-') && SkipPast("-->");
    for (const char wanted : std::string_view("[CDATA[")) {
      if (!Take(wanted)) return false;
    }
    return SkipPast("]]>");
  }

  void SkipSpace() {
    while (Peek() > 0 && absl::ascii_isspace(static_cast<char>(Peek()))) ++at_;
  }

  // Empty where there is none, or too long a one.
  std::string Name() {
    std::string name;
    for (int next = Peek(); next > ' '; next = Peek()) {
      const char c = static_cast<char>(next);
      if (std::string_view("<>/=\"'&").find(c) != std::string_view::npos) break;
      name.push_back(c);
      if (name.size() > kMaxName) return {};
      ++at_;
    }
    return name;
  }

  bool EndTag() {
    ++at_;
    const std::string name = Name();
    SkipSpace();
    if (!Take('>') || open_.empty() ||
        open_.back() != std::hash<std::string>()(name)) {
      return false;
    }
    open_.pop_back();
    Closed();
    return true;
  }

  // An element has been left.
  void Closed() {
    if (!zeroing_ || open_.size() != zero_depth_) return;
    bytes_.Zero(zero_begin_, position());
    zeroing_ = false;
  }

  bool StartTag(uint64_t begin) {
    const std::string name = Name();
    if (name.empty() || open_.size() >= kMaxDepth) return false;
    seen_ = true;
    if (!zeroing_ && IsLocationName(name)) {
      zeroing_ = true;
      zero_begin_ = begin;
      zero_depth_ = open_.size();
    }
    while (true) {
      SkipSpace();
      if (Take('>')) {
        open_.push_back(std::hash<std::string>()(name));
        return true;
      }
      if (Take('/')) {
        if (!Take('>')) return false;
        Closed();
        return true;
      }
      if (!Attribute()) return false;
    }
  }

  bool Attribute() {
    const uint64_t begin = position();
    if (!bytes_.walk().Step()) return false;
    const std::string name = Name();
    SkipSpace();
    if (name.empty() || !Take('=')) return false;
    SkipSpace();
    const int quote = Peek();
    if (quote != '"' && quote != '\'') return false;
    ++at_;
    while (true) {
      const std::string_view rest = Chunk();
      if (rest.empty()) return false;
      const size_t found = rest.find(static_cast<char>(quote));
      const std::string_view value = rest.substr(0, found);
      if (value.find('<') != value.npos || value.find('\0') != value.npos) {
        return false;
      }
      at_ += value.size();
      if (found != rest.npos) break;
    }
    ++at_;
    if (!zeroing_ && IsLocationName(name)) bytes_.Zero(begin, position());
    return true;
  }

  const Bytes& bytes_;
  std::string_view chunk_;
  uint64_t base_ = 0;  // where chunk_ begins
  size_t at_ = 0;      // in chunk_
  bool seen_ = false;
  std::vector<size_t> open_;  // hashes of the names
  // The outermost element that is a location.
  bool zeroing_ = false;
  uint64_t zero_begin_ = 0;
  size_t zero_depth_ = 0;
};

}  // namespace

bool RedactXmp(const Bytes& packet) {
  Scanner scanner(packet);
  bool well_formed = true;
  bool markup = false;
  while (scanner.NextMarkup(well_formed)) {
    markup = true;
    if (!well_formed || !scanner.Markup()) return false;
  }
  return well_formed && markup && scanner.seen() && scanner.depth() == 0;
}

std::optional<uint64_t> RedactXmpElement(const Bytes& bytes) {
  Scanner scanner(bytes);
  bool well_formed = true;
  while (scanner.NextMarkup(well_formed)) {
    if (!well_formed || !scanner.Markup()) return std::nullopt;
    if (scanner.seen() && scanner.depth() == 0) return scanner.position();
  }
  return std::nullopt;
}

}  // namespace fused::policy::redaction
