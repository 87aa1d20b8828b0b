// Backing files: lower files that the kernel reads and writes by itself.
//
// Source: Linux, Documentation/filesystems/fuse/fuse-passthrough.rst;
// FUSE_DEV_IOC_BACKING_OPEN in linux/fuse.h.
#ifndef FUSED_KERNEL_BACKING_H_
#define FUSED_KERNEL_BACKING_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/types.h"

namespace fused::kernel {

// Registers descriptors with one connection. The real one speaks ioctl to
// /dev/fuse; FakeBackingDevice plays it in tests.
class BackingDevice {
 public:
  virtual ~BackingDevice() = default;

  // Returns the id, above 0. Errors: EPERM (no passthrough on this
  // connection, or no CAP_SYS_ADMIN), ELOOP (the file lies on a file system
  // that is stacked too deep), EISDIR, EINVAL (not a regular file), ENOSPC or
  // ENOMEM (no ids left). `fd` may be O_PATH and stays the caller's.
  virtual absl::StatusOr<int32_t> Open(int fd) = 0;

  virtual void Close(int32_t id) = 0;
};

// Speaks ioctl to `device`, which stays the caller's and must outlive it.
std::unique_ptr<BackingDevice> MakeIoctlBackingDevice(int device);

class BackingRegistry;

// Holds one use of a node's backing id. Move-only. May outlive the registry's
// connection, not the registry.
class BackingRef {
 public:
  BackingRef() = default;
  BackingRef(BackingRef&& other) noexcept;
  BackingRef& operator=(BackingRef&& other) noexcept;
  BackingRef(const BackingRef&) = delete;
  BackingRef& operator=(const BackingRef&) = delete;
  ~BackingRef();

  bool valid() const { return registry_ != nullptr; }
  int32_t id() const { return id_; }

  // Gives the use back.
  void Reset();

 private:
  friend class BackingRegistry;
  BackingRef(BackingRegistry* registry, NodeId node, int32_t id)
      : registry_(registry), node_(node), id_(id) {}

  BackingRegistry* registry_ = nullptr;
  NodeId node_ = 0;
  int32_t id_ = 0;
};

// The backing ids of one connection: at most one for each node, counted by
// uses, kept warm after the last one in LRUs of bounded size. The kernel
// answers EIO where a node that is open gets a second id, so an id that is in
// use is never replaced, only doomed. Thread-safe; no ioctl is made under a
// lock that another node's request needs.
class BackingRegistry {
 public:
  struct Options {
    // Ids kept without a use: beyond so many the one that was not used for
    // longest goes (of a large table nearly: it is many small ones). All
    // connections together keep 65536.
    size_t warm = 16384;
    // Ids at all; beyond it Acquire() answers ENOSPC.
    size_t limit = 1 << 20;
  };

  struct Stats {
    size_t ids = 0;   // registered now
    size_t warm = 0;  // of these, without a use
    uint64_t registered = 0;
    uint64_t closed = 0;
    uint64_t reused = 0;
    uint64_t refused = 0;
  };

  // `device` must outlive the registry.
  BackingRegistry(Options options, BackingDevice* device);
  BackingRegistry(const BackingRegistry&) = delete;
  BackingRegistry& operator=(const BackingRegistry&) = delete;
  // Every BackingRef must be gone.
  ~BackingRegistry();

  // A use of `node`'s backing id, registered from `fd` where it has none.
  // `fd` must name the lower file of the node, always the same inode.
  absl::StatusOr<BackingRef> Acquire(NodeId node, int fd);

  // A use of the id that `node` has, or an invalid one: spares the caller the
  // making of a descriptor.
  BackingRef AcquireWarm(NodeId node);

  // The node's lower file is gone or replaced, or the node is forgotten: the
  // id goes now, or at its last use.
  void Doom(NodeId node);

  // Closes all ids without a use.
  void Trim();

  Stats stats() const;

 private:
  friend class BackingRef;
  void Release(NodeId node);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_BACKING_H_
