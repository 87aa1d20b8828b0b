// A file system of one root directory that holds one file, "file", served from
// a lower descriptor: enough for tests on real mounts.
#ifndef FUSED_KERNEL_TESTING_SINGLE_FILE_H_
#define FUSED_KERNEL_TESTING_SINGLE_FILE_H_

#include <atomic>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "kernel/backing.h"
#include "kernel/fd.h"
#include "kernel/session.h"
#include "kernel/testing/fake_operations.h"

namespace fused::kernel {

// Thread-safe.
class SingleFile : public FakeOperations {
 public:
  // `lower`: a regular file, open for reading and writing.
  explicit SingleFile(Fd lower) : lower_(std::move(lower)) {}

  // Opens go on passthrough over `session`'s registry from now on, where it
  // does not refuse.
  void UseBacking(Session* session) { session_ = session; }
  int passthrough_opens() const { return passthrough_opens_; }
  int daemon_opens() const { return daemon_opens_; }
  // Of the last open that was not passed through.
  absl::Status refusal() const {
    absl::MutexLock lock(&mu_);
    return refusal_;
  }

  static constexpr NodeId kFileNode = 2;

  void Lookup(const Caller& caller, NodeId parent, const char* name,
              EntryReply reply) override;
  void GetAttributes(const Caller& caller, NodeId node,
                     std::optional<HandleId> handle,
                     AttributesReply reply) override;
  void Open(const Caller& caller, NodeId node, const OpenRequest& request,
            OpenReply reply) override;
  void Read(const Caller& caller, NodeId node, HandleId handle, size_t size,
            off_t offset, DataReply reply) override;
  void Write(const Caller& caller, NodeId node, HandleId handle,
             std::string_view data, off_t offset, bool kill_suidgid,
             WriteReply reply) override;
  void Release(NodeId node, HandleId handle,
               std::optional<uint64_t> flock_owner, StatusReply reply) override;
  // With no RELEASE for what was open when the superblock went; its backing ids
  // must not outlive the session.
  void Destroy() override;

 private:
  Attributes AttributesOf(NodeId node) const;

  const Fd lower_;
  std::atomic<Session*> session_{nullptr};
  std::atomic<int> passthrough_opens_{0};
  std::atomic<int> daemon_opens_{0};
  mutable absl::Mutex mu_;
  HandleId next_handle_ ABSL_GUARDED_BY(mu_) = 1;
  absl::flat_hash_map<HandleId, BackingRef> handles_ ABSL_GUARDED_BY(mu_);
  absl::Status refusal_ ABSL_GUARDED_BY(mu_);
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_TESTING_SINGLE_FILE_H_
