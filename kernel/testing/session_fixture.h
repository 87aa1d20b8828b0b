// A session on a fake kernel, and a file system whose methods a test scripts.
#ifndef FUSED_KERNEL_TESTING_SESSION_FIXTURE_H_
#define FUSED_KERNEL_TESTING_SESSION_FIXTURE_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "kernel/backing_fake.h"
#include "kernel/libfuse.h"
#include "kernel/reply.h"
#include "kernel/session.h"
#include "kernel/testing/fake_kernel.h"
#include "kernel/testing/fake_operations.h"

namespace fused::kernel {

// Each test sets what it needs.
class ScriptedOperations : public FakeOperations {
 public:
  std::function<void(NodeId, const char*, EntryReply)> lookup;
  std::function<void(NodeId, const OpenRequest&, OpenReply)> open;
  std::function<void(const char*, const OpenRequest&, CreateReply)> create;
  std::function<void(size_t, DataReply)> read;
  std::function<void(std::string_view, bool, WriteReply)> write;
  std::function<void(const LockRequest&, bool, StatusReply)> set_lock;
  std::function<void(int, StatusReply)> flock;
  std::function<void(DirectoryReply)> read_directory;
  std::function<void(size_t, XattrReply)> get_xattr;
  std::function<void(const kernel::SetAttributes&)> set_attributes;
  std::function<void(std::string_view, size_t, IoctlReply)> ioctl;
  std::optional<uint64_t> flock_owner;
  Caller caller = {};

  void Lookup(const Caller& from, NodeId parent, const char* name,
              EntryReply reply) override {
    caller = from;
    if (lookup) return lookup(parent, name, std::move(reply));
    No(reply);
  }
  void Open(const Caller&, NodeId node, const OpenRequest& request,
            OpenReply reply) override {
    if (open) return open(node, request, std::move(reply));
    No(reply);
  }
  void Create(const Caller& from, NodeId, const char* name, mode_t,
              const OpenRequest& request, CreateReply reply) override {
    caller = from;
    if (create) return create(name, request, std::move(reply));
    No(reply);
  }
  void Read(const Caller&, NodeId, HandleId, size_t size, off_t,
            DataReply reply) override {
    if (read) return read(size, std::move(reply));
    No(reply);
  }
  void Write(const Caller&, NodeId, HandleId, std::string_view data, off_t,
             bool kill_suidgid, WriteReply reply) override {
    if (write) return write(data, kill_suidgid, std::move(reply));
    No(reply);
  }
  void SetLock(const Caller&, NodeId, HandleId, const LockRequest& request,
               bool wait, StatusReply reply) override {
    if (set_lock) return set_lock(request, wait, std::move(reply));
    No(reply);
  }
  void Flock(const Caller&, NodeId, HandleId, uint64_t, int operation,
             StatusReply reply) override {
    if (flock) return flock(operation, std::move(reply));
    No(reply);
  }
  void ReadDirectory(const Caller&, NodeId, HandleId, off_t,
                     DirectoryReply reply) override {
    if (read_directory) return read_directory(std::move(reply));
    No(reply);
  }
  void GetXattr(const Caller&, NodeId, const char*, size_t size,
                XattrReply reply) override {
    if (get_xattr) return get_xattr(size, std::move(reply));
    No(reply);
  }
  void SetAttributes(const Caller&, NodeId, std::optional<HandleId>,
                     const kernel::SetAttributes& values,
                     AttributesReply reply) override {
    if (set_attributes) set_attributes(values);
    No(reply);
  }
  void Release(NodeId, HandleId, std::optional<uint64_t> owner,
               StatusReply reply) override {
    flock_owner = owner;
    reply.Ok();
  }
  void Ioctl(const Caller&, NodeId, HandleId, uint32_t, bool,
             std::string_view input, size_t output_size,
             IoctlReply reply) override {
    if (ioctl) return ioctl(input, output_size, std::move(reply));
    No(reply);
  }
};

class SessionTest : public testing::Test {
 protected:
  void Start(const Session::Options& options = {}) {
    auto backing = std::make_unique<FakeBackingDevice>();
    backing_ = backing.get();
    absl::StatusOr<std::unique_ptr<Session>> session = Session::Create(
        options, &operations_, kernel_.TakeDevice(), std::move(backing));
    ASSERT_THAT(session, absl_testing::IsOk());
    session_ = *std::move(session);
  }

  // Starts and has INIT answered.
  fuse_init_out Init(const Session::Options& options = {}, uint32_t minor = 45,
                     uint64_t flags = FakeKernel::AllFlags()) {
    Start(options);
    kernel_.SendInit(minor, flags);
    return Answer().As<fuse_init_out>();
  }

  void ServeAll() {
    while (session_->Serve(buffer_) == Session::Progress::kServed) {
    }
  }

  // Serves what is there and gives the answer.
  FakeKernel::Message Answer() {
    ServeAll();
    std::optional<FakeKernel::Message> message = kernel_.Poll();
    EXPECT_TRUE(message.has_value());
    return message.value_or(FakeKernel::Message());
  }

  bool Silent() {
    ServeAll();
    return !kernel_.Poll().has_value();
  }

  fuse_open_out OpenWith(const OpenFlags& flags) {
    operations_.open = [flags](NodeId, const OpenRequest&, OpenReply reply) {
      EXPECT_TRUE(reply.Send(flags));
    };
    kernel_.SendStruct(FUSE_OPEN, 5, fuse_open_in());
    const FakeKernel::Message message = Answer();
    EXPECT_EQ(message.error, 0);
    return message.As<fuse_open_out>();
  }

  FakeKernel kernel_;
  ScriptedOperations operations_;
  FakeBackingDevice* backing_ = nullptr;
  std::unique_ptr<Session> session_;
  Session::Buffer buffer_;
};

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_TESTING_SESSION_FIXTURE_H_
