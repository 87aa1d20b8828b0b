// What names a lower file in the index: something that stays with the file, and
// that no other file gets after it.
#ifndef FUSED_FUSED_MEDIA_KEY_H_
#define FUSED_FUSED_MEDIA_KEY_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "kernel/lower.h"

namespace fused::media {

// Opaque bytes. Within one lower tree.
struct FileKey {
  std::string bytes;

  friend bool operator==(const FileKey&, const FileKey&) = default;
  template <typename H>
  friend H AbslHashValue(H h, const FileKey& key) {
    return H::combine(std::move(h), key.bytes);
  }
};

// How a lower tree's files are told from each other.
enum class KeyKind : uint8_t {
  // By (inode, generation), as a file handle has them: through renames, and
  // never another file's.
  kHandle,
  // By path and birth time: where inode numbers change from mount to mount.
  kPath,
  // The same; the tree takes two spellings of a name for one.
  kFoldedPath,
};

// Of the tree whose root `root` has open.
KeyKind KindOf(int root);

// Of kHandle, where the file handle is known.
FileKey HandleKey(const kernel::FileHandle& handle);

// `fd` is the file's, O_PATH or not; `path` gives its path from the root, and
// is asked only for kinds that need it.
absl::StatusOr<FileKey> MakeKey(KeyKind kind, int fd,
                                absl::FunctionRef<std::string()> path);

// Nanoseconds since 1970; 0 where the file system does not tell.
int64_t BirthTime(int fd);

// `path` as the lower tree compares it: code point by code point, nothing that
// a lower tree keeps apart more than by case becomes the same. Dots at the end
// of a component, which FAT does not see, are dropped.
std::string FoldPath(std::string_view path);

// For kinds by path: the key of a path and birth time, a file's key when it has
// moved to `path`, and what the keys of all below a path begin with.
FileKey PathKey(KeyKind kind, std::string_view path, int64_t birth_time);
FileKey MovedKey(KeyKind kind, const FileKey& key, std::string_view path);
std::string PrefixBelow(KeyKind kind, std::string_view path);

bool HasBirthTime(const FileKey& key);

inline bool ByPath(KeyKind kind) { return kind != KeyKind::kHandle; }
// Whether a key is of this kind of tree: a directory may be another file
// system's mount point tomorrow.
bool IsOfKind(KeyKind kind, std::string_view key);

}  // namespace fused::media

#endif  // FUSED_FUSED_MEDIA_KEY_H_
