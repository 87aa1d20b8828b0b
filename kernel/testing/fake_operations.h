// A file system that has nothing: every method counts its call and answers
// ENOSYS. Tests override what they need.
#ifndef FUSED_KERNEL_TESTING_FAKE_OPERATIONS_H_
#define FUSED_KERNEL_TESTING_FAKE_OPERATIONS_H_

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "kernel/operations.h"
#include "kernel/reply.h"
#include "kernel/status.h"
#include "kernel/types.h"

namespace fused::kernel {

// Thread-safe.
class FakeOperations : public Operations {
 public:
  // What came, by opcode.
  int received(uint32_t opcode) const {
    absl::MutexLock lock(&mu_);
    auto found = received_.find(opcode);
    return found == received_.end() ? 0 : found->second;
  }
  int inits() const {
    absl::MutexLock lock(&mu_);
    return inits_;
  }
  int destroys() const {
    absl::MutexLock lock(&mu_);
    return destroys_;
  }
  Connection connection() const {
    absl::MutexLock lock(&mu_);
    return connection_;
  }
  std::vector<kernel::Forget> forgets() const {
    absl::MutexLock lock(&mu_);
    return forgets_;
  }
  // Waits for the event; there is no other end to it.
  void AwaitDestroy() const {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](const int* destroys) { return *destroys > 0; }, &destroys_));
  }

  void Init(const Connection& connection) override {
    absl::MutexLock lock(&mu_);
    ++inits_;
    connection_ = connection;
  }
  void Destroy() override {
    absl::MutexLock lock(&mu_);
    ++destroys_;
  }
  void Received(uint32_t opcode) override {
    absl::MutexLock lock(&mu_);
    ++received_[opcode];
  }
  void Forget(absl::Span<const kernel::Forget> forgets) override {
    absl::MutexLock lock(&mu_);
    forgets_.insert(forgets_.end(), forgets.begin(), forgets.end());
  }

  void Lookup(const Caller&, NodeId, const char*, EntryReply reply) override {
    No(reply);
  }
  void GetAttributes(const Caller&, NodeId, std::optional<HandleId>,
                     AttributesReply reply) override {
    No(reply);
  }
  void Statx(const Caller&, NodeId, std::optional<HandleId>, uint32_t, uint32_t,
             StatxReply reply) override {
    No(reply);
  }
  void SetAttributes(const Caller&, NodeId, std::optional<HandleId>,
                     const kernel::SetAttributes&,
                     AttributesReply reply) override {
    No(reply);
  }
  void Readlink(const Caller&, NodeId, ReadlinkReply reply) override {
    No(reply);
  }
  void Symlink(const Caller&, const char*, NodeId, const char*,
               EntryReply reply) override {
    No(reply);
  }
  void Mknod(const Caller&, NodeId, const char*, mode_t, dev_t,
             EntryReply reply) override {
    No(reply);
  }
  void Mkdir(const Caller&, NodeId, const char*, mode_t,
             EntryReply reply) override {
    No(reply);
  }
  void Unlink(const Caller&, NodeId, const char*, StatusReply reply) override {
    No(reply);
  }
  void Rmdir(const Caller&, NodeId, const char*, StatusReply reply) override {
    No(reply);
  }
  void Rename(const Caller&, NodeId, const char*, NodeId, const char*, uint32_t,
              StatusReply reply) override {
    No(reply);
  }
  void Link(const Caller&, NodeId, NodeId, const char*,
            EntryReply reply) override {
    No(reply);
  }
  void Open(const Caller&, NodeId, const OpenRequest&,
            OpenReply reply) override {
    No(reply);
  }
  void Create(const Caller&, NodeId, const char*, mode_t, const OpenRequest&,
              CreateReply reply) override {
    No(reply);
  }
  void Tmpfile(const Caller&, NodeId, mode_t, const OpenRequest&,
               CreateReply reply) override {
    No(reply);
  }
  void Read(const Caller&, NodeId, HandleId, size_t, off_t,
            DataReply reply) override {
    No(reply);
  }
  void Write(const Caller&, NodeId, HandleId, std::string_view, off_t, bool,
             WriteReply reply) override {
    No(reply);
  }
  void Flush(const Caller&, NodeId, HandleId, uint64_t,
             StatusReply reply) override {
    No(reply);
  }
  void Release(NodeId, HandleId, std::optional<uint64_t>,
               StatusReply reply) override {
    No(reply);
  }
  void Fsync(const Caller&, NodeId, HandleId, bool,
             StatusReply reply) override {
    No(reply);
  }
  void OpenDirectory(const Caller&, NodeId, OpenDirectoryReply reply) override {
    No(reply);
  }
  void ReadDirectory(const Caller&, NodeId, HandleId, off_t,
                     DirectoryReply reply) override {
    No(reply);
  }
  void ReleaseDirectory(NodeId, HandleId, StatusReply reply) override {
    No(reply);
  }
  void FsyncDirectory(const Caller&, NodeId, HandleId, bool,
                      StatusReply reply) override {
    No(reply);
  }
  void Statfs(const Caller&, NodeId, StatfsReply reply) override { No(reply); }
  void Access(const Caller&, NodeId, int, StatusReply reply) override {
    No(reply);
  }
  void SetXattr(const Caller&, NodeId, const char*, std::string_view, int,
                StatusReply reply) override {
    No(reply);
  }
  void GetXattr(const Caller&, NodeId, const char*, size_t,
                XattrReply reply) override {
    No(reply);
  }
  void ListXattr(const Caller&, NodeId, size_t, XattrReply reply) override {
    No(reply);
  }
  void RemoveXattr(const Caller&, NodeId, const char*,
                   StatusReply reply) override {
    No(reply);
  }
  void GetLock(const Caller&, NodeId, HandleId, const LockRequest&,
               LockReply reply) override {
    No(reply);
  }
  void SetLock(const Caller&, NodeId, HandleId, const LockRequest&, bool,
               StatusReply reply) override {
    No(reply);
  }
  void Flock(const Caller&, NodeId, HandleId, uint64_t, int,
             StatusReply reply) override {
    No(reply);
  }
  void Fallocate(const Caller&, NodeId, HandleId, int, off_t, off_t,
                 StatusReply reply) override {
    No(reply);
  }
  void Lseek(const Caller&, NodeId, HandleId, off_t, int,
             LseekReply reply) override {
    No(reply);
  }
  void CopyFileRange(const Caller&, NodeId, HandleId, off_t, NodeId, HandleId,
                     off_t, size_t, WriteReply reply) override {
    No(reply);
  }
  void Ioctl(const Caller&, NodeId, HandleId, uint32_t, bool, std::string_view,
             size_t, IoctlReply reply) override {
    No(reply);
  }
  void Poll(const Caller&, NodeId, HandleId, PollReply reply) override {
    No(reply);
  }

 protected:
  static void No(Reply& reply) { reply.Error(ErrnoStatus(ENOSYS)); }

 private:
  mutable absl::Mutex mu_;
  std::map<uint32_t, int> received_ ABSL_GUARDED_BY(mu_);
  int inits_ ABSL_GUARDED_BY(mu_) = 0;
  int destroys_ ABSL_GUARDED_BY(mu_) = 0;
  Connection connection_ ABSL_GUARDED_BY(mu_);
  std::vector<kernel::Forget> forgets_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_TESTING_FAKE_OPERATIONS_H_
