#include "fused/ctl/mount_table.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <fstream>
#include <iterator>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "kernel/status.h"

namespace fused::ctl {
namespace {

// Space, tab, newline and backslash are written as \ooo.
std::string Unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    int value = 0;
    size_t digits = 0;
    if (text[i] == '\\') {
      while (digits < 3 && i + 1 + digits < text.size() &&
             text[i + 1 + digits] >= '0' && text[i + 1 + digits] <= '7') {
        value = value * 8 + (text[i + 1 + digits] - '0');
        ++digits;
      }
    }
    if (digits == 3) {
      plain += static_cast<char>(value);
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

}  // namespace

std::vector<MountEntry> ParseMountTable(std::string_view text) {
  std::vector<MountEntry> entries;
  for (std::string_view line : absl::StrSplit(text, '\n')) {
    // ID PARENT DEVICE ROOT PATH OPTIONS...
    const std::vector<std::string_view> words =
        absl::StrSplit(line, absl::MaxSplits(' ', 5));
    MountEntry entry;
    if (words.size() < 6 || !absl::SimpleAtoi(words[0], &entry.id)) continue;
    entry.device = std::string(words[2]);
    entry.root = Unescape(words[3]);
    entry.path = Unescape(words[4]);
    entries.push_back(std::move(entry));
  }
  return entries;
}

absl::StatusOr<std::vector<MountEntry>> ReadMountTable() {
  std::ifstream in("/proc/self/mountinfo", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  if (text.empty()) return kernel::ErrnoStatus(EIO, "/proc/self/mountinfo");
  return ParseMountTable(text);
}

bool IsWithin(std::string_view inner, std::string_view outer) {
  if (outer == "/") return true;
  return inner.substr(0, outer.size()) == outer &&
         (inner.size() == outer.size() || inner[outer.size()] == '/');
}

std::string_view RestOf(std::string_view path, std::string_view outer) {
  if (outer == "/") return path == "/" ? "" : path;
  return path.substr(outer.size());
}

absl::StatusOr<uint64_t> MountIdOf(const std::string& path) {
  struct statx there = {};
  if (statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
            STATX_MNT_ID, &there) != 0) {
    return kernel::ErrnoStatus(errno, path);
  }
  return there.stx_mnt_id;
}

}  // namespace fused::ctl
