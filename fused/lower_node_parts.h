// What a lower node is made of, as small as it can be: there is one for each
// file that the kernel knows.
#ifndef FUSED_FUSED_LOWER_NODE_PARTS_H_
#define FUSED_FUSED_LOWER_NODE_PARTS_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "fused/owner.h"
#include "fused/ref.h"
#include "kernel/fd.h"
#include "kernel/lower.h"
#include "policy/types.h"

namespace fused {

// What a lower node is found by.
struct InodeKey {
  dev_t device;
  ino_t inode;

  template <typename H>
  friend H AbslHashValue(H h, const InodeKey& key) {
    return H::combine(std::move(h), key.device, key.inode);
  }
  friend bool operator==(const InodeKey&, const InodeKey&) = default;
};

// A descriptor that several use.
class OpenFd final : public RefCounted, public kernel::Fd {
 public:
  explicit OpenFd(kernel::Fd fd) : kernel::Fd(std::move(fd)) {}
};

// Keeps a lower descriptor open for as long as it lives.
using Pin = Ref<const OpenFd>;

// A file handle, in as few bytes as those of most file systems take. Not
// thread-safe.
class SmallHandle {
 public:
  SmallHandle() = default;
  SmallHandle(const SmallHandle&) = delete;
  SmallHandle& operator=(const SmallHandle&) = delete;
  ~SmallHandle() { Clear(); }

  bool has_value() const { return size_ != kNone; }

  kernel::FileHandle value() const {
    if (size_ == kElsewhere) return *elsewhere();
    kernel::FileHandle handle;
    handle.type = type_;
    handle.size = size_;
    std::memcpy(handle.bytes, bytes_, sizeof(bytes_));
    return handle;
  }

  void Set(const kernel::FileHandle& handle) {
    Clear();
    if (handle.size <= sizeof(bytes_) && handle.type >= 0 &&
        handle.type <= UINT8_MAX) {
      size_ = static_cast<uint8_t>(handle.size);
      type_ = static_cast<uint8_t>(handle.type);
      std::memcpy(bytes_, handle.bytes, handle.size);
      return;
    }
    const auto* const copy = new kernel::FileHandle(handle);
    std::memcpy(bytes_, &copy, sizeof(void*));
    size_ = kElsewhere;
  }

 private:
  static constexpr uint8_t kNone = 0xff;
  static constexpr uint8_t kElsewhere = 0xfe;

  const kernel::FileHandle* elsewhere() const {
    const kernel::FileHandle* handle = nullptr;
    std::memcpy(&handle, bytes_, sizeof(void*));
    return handle;
  }
  void Clear() {
    if (size_ == kElsewhere) delete elsewhere();
    size_ = kNone;
    std::memset(bytes_, 0, sizeof(bytes_));
  }

  uint8_t size_ = kNone;
  uint8_t type_ = 0;
  // Or where it lies. ext4 and f2fs have 8 bytes, tmpfs and XFS 12.
  unsigned char bytes_[12] = {};
};

// An owner that many files have.
struct SharedOwner final : public RefCounted, public Owner {
  explicit SharedOwner(const Owner& owner) : Owner(owner) {}

  static const Owner& Of(const Owner& owner) { return owner; }
  static const Owner& Of(const Ref<const SharedOwner>& owner) { return *owner; }
  struct Hash {
    using is_transparent = void;
    template <typename T>
    size_t operator()(const T& owner) const {
      return absl::HashOf(Of(owner).package, Of(owner).app_id);
    }
  };
  struct Equal {
    using is_transparent = void;
    template <typename T, typename U>
    bool operator()(const T& a, const U& b) const {
      return Of(a) == Of(b);
    }
  };
  using Set = absl::flat_hash_set<Ref<const SharedOwner>, Hash, Equal>;
};

// A name in a directory; empty for none. Not thread-safe.
class SmallName {
 public:
  std::string_view view() const {
    return text_ == nullptr ? std::string_view() : text_.get();
  }
  // `name` has no NUL: no lower file's has.
  void Set(std::string_view name) {
    text_ = std::make_unique_for_overwrite<char[]>(name.size() + 1);
    name.copy(text_.get(), name.size());
    text_[name.size()] = '\0';
  }

 private:
  std::unique_ptr<char[]> text_;
};

// What the facts of many nodes have in common, and at what they were found: of
// most files that stand beside each other it is all but their names and makers.
struct Standing final : public RefCounted {
  Standing() = default;
  Standing(uint64_t epoch, uint64_t generation,
           const policy::Location& location, const policy::Object& object)
      : epoch(epoch),
        generation(generation),
        location(location),
        path_class(object.path_class),
        path_owner(object.path_owner),
        user(object.user) {
    this->location.hidden = false;
    this->location.dotted = false;
  }

  bool Same(const Standing& other) const {
    return epoch == other.epoch && generation == other.generation &&
           location.state == other.location.state &&
           location.user == other.location.user &&
           location.depth == other.location.depth &&
           std::memcmp(location.capture, other.location.capture,
                       sizeof(location.capture)) == 0 &&
           path_class == other.path_class && path_owner == other.path_owner &&
           user == other.user;
  }

  const uint64_t epoch = 0;
  const uint64_t generation = 0;
  // But for `hidden` and `dotted`, which are the node's own.
  policy::Location location;
  const policy::ClassId path_class = policy::kOtherClass;
  const policy::AppIndex path_owner = policy::kNoApp;
  const uint32_t user = 0;
};

// The rest of them.
struct OwnFacts {
  // policy::Object's.
  uint32_t facts : 28 = 0;
  // policy::Location's.
  bool hidden : 1 = false;
  bool dotted : 1 = false;
  // Not a fact, but beside them there is room: whose file it is has been asked.
  bool owner_known : 1 = false;
  policy::AppIndex file_owner = policy::kNoApp;
};

}  // namespace fused

#endif  // FUSED_FUSED_LOWER_NODE_PARTS_H_
