#include "fused/media/key.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <utf8proc.h>

#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "fused/directory_reader.h"
#include "kernel/fd.h"
#include "kernel/lower.h"
#include "kernel/status.h"

namespace fused::media {
namespace {

// Not in linux/magic.h of every release.
constexpr int64_t kExfatMagic = 0x2011BAB0;
constexpr int64_t kXfsMagic = 0x58465342;
constexpr int64_t kBtrfsMagic = 0x9123683E;
constexpr int64_t kF2fsMagic = 0xF2F52010;
constexpr int64_t kNtfs3Magic = 0x7366746e;

constexpr char kHandleMark = 'h';
constexpr char kPathMark = 'p';
constexpr char kFoldedMark = 'f';

char MarkOf(KeyKind kind) {
  switch (kind) {
    case KeyKind::kHandle:
      return kHandleMark;
    case KeyKind::kPath:
      return kPathMark;
    case KeyKind::kFoldedPath:
      return kFoldedMark;
  }
  return kPathMark;
}

std::string OtherCase(std::string_view name) {
  std::string other(name);
  for (char& c : other) {
    c = absl::ascii_islower(static_cast<unsigned char>(c))
            ? absl::ascii_toupper(static_cast<unsigned char>(c))
            : absl::ascii_tolower(static_cast<unsigned char>(c));
  }
  return other;
}

// Tried on a name that is there; an empty root is taken for one that does not
// fold.
bool Folds(int root) {
  absl::StatusOr<kernel::Fd> fd =
      kernel::OpenBeneath(root, ".", O_RDONLY | O_DIRECTORY);
  if (!fd.ok()) return false;
  DirectoryReader reader(*std::move(fd));
  for (;;) {
    absl::StatusOr<DirectoryName> next = reader.Peek();
    if (!next.ok() || next->name == nullptr) return false;
    const std::string name = next->name;
    reader.Pop();
    const std::string other = OtherCase(name);
    if (other == name) continue;
    absl::StatusOr<struct stat> one = kernel::StatChild(root, name.c_str());
    absl::StatusOr<struct stat> two = kernel::StatChild(root, other.c_str());
    if (!one.ok()) continue;
    return two.ok() && one->st_ino == two->st_ino;
  }
}

void AppendCodePoint(int32_t point, std::string& out) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t size = utf8proc_encode_char(point, bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
}

std::string FoldComponent(std::string_view name) {
  while (name.size() > 1 && name.back() == '.') name.remove_suffix(1);
  std::string folded;
  folded.reserve(name.size());
  while (!name.empty()) {
    utf8proc_int32_t point = 0;
    const utf8proc_ssize_t length =
        utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(name.data()),
                         static_cast<utf8proc_ssize_t>(name.size()), &point);
    if (length <= 0) {
      // No UTF-8: the byte as it is.
      folded.push_back(name[0]);
      name.remove_prefix(1);
      continue;
    }
    name.remove_prefix(static_cast<size_t>(length));
    // Upwards first: some letters share an upper case only.
    AppendCodePoint(utf8proc_tolower(utf8proc_toupper(point)), folded);
  }
  return folded;
}

std::string PathPart(KeyKind kind, std::string_view path) {
  std::string part(1, MarkOf(kind));
  part += kind == KeyKind::kFoldedPath ? FoldPath(path) : std::string(path);
  return part;
}

}  // namespace

KeyKind KindOf(int root) {
  struct statfs stat = {};
  if (fstatfs(root, &stat) != 0) return KeyKind::kPath;
  switch (static_cast<int64_t>(stat.f_type)) {
    case EXT4_SUPER_MAGIC:
    case kXfsMagic:
    case kBtrfsMagic:
    case kF2fsMagic:
    case TMPFS_MAGIC:
      return kernel::HandleOf(root).ok() ? KeyKind::kHandle : KeyKind::kPath;
    case MSDOS_SUPER_MAGIC:
    case kExfatMagic:
      return KeyKind::kFoldedPath;
    case FUSE_SUPER_MAGIC:
    case kNtfs3Magic:
    case SMB2_SUPER_MAGIC:
    case CIFS_SUPER_MAGIC:
      return Folds(root) ? KeyKind::kFoldedPath : KeyKind::kPath;
    default:
      return KeyKind::kPath;
  }
}

int64_t BirthTime(int fd) {
  struct statx values = {};
  if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &values) != 0) return 0;
  if ((values.stx_mask & STATX_BTIME) == 0) return 0;
  return values.stx_btime.tv_sec * 1'000'000'000 + values.stx_btime.tv_nsec;
}

std::string FoldPath(std::string_view path) {
  std::string folded;
  folded.reserve(path.size());
  for (const std::string_view name : absl::StrSplit(path, '/')) {
    if (!folded.empty()) folded.push_back('/');
    folded += FoldComponent(name);
  }
  return folded;
}

FileKey PathKey(KeyKind kind, std::string_view path, int64_t birth_time) {
  FileKey key{PathPart(kind, path)};
  key.bytes.push_back('\0');
  key.bytes.append(reinterpret_cast<const char*>(&birth_time),
                   sizeof(birth_time));
  return key;
}

bool HasBirthTime(const FileKey& key) {
  int64_t time = 0;
  if (key.bytes.size() < sizeof(time)) return false;
  std::memcpy(&time, key.bytes.data() + key.bytes.size() - sizeof(time),
              sizeof(time));
  return time != 0;
}

FileKey MovedKey(KeyKind kind, const FileKey& key, std::string_view path) {
  constexpr size_t kTail = 1 + sizeof(int64_t);
  FileKey moved{PathPart(kind, path)};
  moved.bytes.append(key.bytes, key.bytes.size() - kTail, kTail);
  return moved;
}

std::string PrefixBelow(KeyKind kind, std::string_view path) {
  std::string prefix = PathPart(kind, path);
  prefix.push_back('/');
  return prefix;
}

FileKey HandleKey(const kernel::FileHandle& handle) {
  FileKey key;
  key.bytes.reserve(2 + handle.size);
  key.bytes.push_back(kHandleMark);
  key.bytes.push_back(static_cast<char>(handle.type));
  key.bytes.append(reinterpret_cast<const char*>(handle.bytes), handle.size);
  return key;
}

absl::StatusOr<FileKey> MakeKey(KeyKind kind, int fd,
                                absl::FunctionRef<std::string()> path) {
  if (ByPath(kind)) return PathKey(kind, path(), BirthTime(fd));
  absl::StatusOr<kernel::FileHandle> handle = kernel::HandleOf(fd);
  if (!handle.ok()) return handle.status();
  return HandleKey(*handle);
}

bool IsOfKind(KeyKind kind, std::string_view key) {
  return !key.empty() && key[0] == MarkOf(kind);
}

}  // namespace fused::media
