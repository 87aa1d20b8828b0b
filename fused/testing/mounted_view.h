// A view on a fake kernel: a test is the kernel, and asks what an app would.
#ifndef FUSED_FUSED_TESTING_MOUNTED_VIEW_H_
#define FUSED_FUSED_TESTING_MOUNTED_VIEW_H_

#include <sys/types.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fuse_kernel.h"
#include "fused/view.h"
#include "kernel/backing_fake.h"
#include "kernel/session.h"
#include "kernel/testing/fake_kernel.h"
#include "kernel/types.h"

namespace fused {

// The app of the tests, by FakeKernel's requests, and another one.
inline constexpr uid_t kAppUid = 10001;
inline constexpr uid_t kOtherUid = 10002;

// What a request got. `error` is an errno; 0 is success.
struct Answer {
  int error = 0;
  std::string body;

  // The answer's structure at `offset`, zeros where it is shorter.
  template <typename T>
  T As(size_t offset = 0) const {
    T value;
    std::memset(&value, 0, sizeof(value));
    if (offset < body.size()) {
      std::memcpy(&value, body.data() + offset,
                  std::min(sizeof(value), body.size() - offset));
    }
    return value;
  }
  kernel::NodeId node() const { return As<fuse_entry_out>().nodeid; }
  // Of an OPEN, OPENDIR; of a CREATE, TMPFILE.
  fuse_open_out opened() const { return As<fuse_open_out>(); }
  fuse_open_out created() const {
    return As<fuse_open_out>(sizeof(fuse_entry_out));
  }
};

// Whom a request comes from; the default is the app.
struct From {
  uid_t uid = kAppUid;
  gid_t gid = kAppUid;
};

// One name of a listing; `entry` of a READDIRPLUS.
struct ListedName {
  std::string name;
  uint64_t next = 0;
  fuse_entry_out entry = {};
};

// Not thread-safe.
class MountedView {
 public:
  // Serves when it is made. `flags` is what the kernel offers, and `minor` its
  // version of the protocol.
  MountedView(const VolumeContext& context, const ViewIdentity& identity,
              uint64_t flags = kernel::FakeKernel::AllFlags(),
              uint32_t minor = 45);
  MountedView(const MountedView&) = delete;
  MountedView& operator=(const MountedView&) = delete;
  ~MountedView();

  // Sends a request and has it served; the answer is in Poll() then.
  uint64_t Send(uint32_t opcode, kernel::NodeId node, std::string_view body,
                From from = {});
  // Sends it only: session().Serve() is the caller's to call.
  uint64_t Transmit(uint32_t opcode, kernel::NodeId node, std::string_view body,
                    From from = {});
  // The answer to `unique`; nothing while there is none.
  std::optional<Answer> Poll(uint64_t unique);
  // Both; a request without an answer fails the test.
  Answer Call(uint32_t opcode, kernel::NodeId node, std::string_view body,
              From from = {});
  template <typename T>
  Answer Call(uint32_t opcode, kernel::NodeId node, const T& in,
              std::string_view rest, From from = {}) {
    return Call(opcode, node, Bytes(in).append(rest), from);
  }

  // Sends all, has them served by threads at once, and gives the answers in the
  // order of the requests. For requests that have one and do not wait.
  struct Request {
    uint32_t opcode = 0;
    kernel::NodeId node = 0;
    std::string body;
    From from;
  };
  std::vector<Answer> CallAll(const std::vector<Request>& requests,
                              int threads);

  // The same, by what they are for. Names are as in a path: no terminator.
  Answer Lookup(kernel::NodeId parent, std::string_view name, From from = {});
  // The node at a relative path, every step looked up; 0 where there is none.
  kernel::NodeId Walk(std::string_view path, From from = {});
  Answer GetAttributes(kernel::NodeId node, From from = {});
  Answer Open(kernel::NodeId node, int flags, From from = {});
  Answer Create(kernel::NodeId parent, std::string_view name, int flags,
                From from = {});
  Answer Mkdir(kernel::NodeId parent, std::string_view name, From from = {});
  Answer Unlink(kernel::NodeId parent, std::string_view name, From from = {});
  Answer Rmdir(kernel::NodeId parent, std::string_view name, From from = {});
  Answer Rename(kernel::NodeId parent, std::string_view name,
                kernel::NodeId new_parent, std::string_view new_name,
                uint32_t flags = 0, From from = {});
  Answer Read(kernel::NodeId node, uint64_t handle, uint64_t offset,
              uint32_t size);
  Answer Write(kernel::NodeId node, uint64_t handle, uint64_t offset,
               std::string_view data, uint32_t flags = 0);
  Answer Release(kernel::NodeId node, uint64_t handle);
  // A POSIX lock from `start` to the end; `type` F_RDLCK, F_WRLCK, F_UNLCK.
  // Not waited for.
  uint64_t SendLock(kernel::NodeId node, uint64_t handle, uint64_t owner,
                    int type, bool wait, uint64_t start = 0);
  void Forget(kernel::NodeId node, uint64_t lookups);
  // All names of a directory, by READDIRs or READDIRPLUSes of `size` bytes.
  // Dots are left out.
  std::vector<ListedName> List(kernel::NodeId node, bool plus = false,
                               uint32_t size = 4096, From from = {});

  // The notifications since the last call, in order.
  std::vector<kernel::FakeKernel::Message> Notifications();
  // Whether an INVAL_ENTRY or EXPIRE of the name is among them.
  static bool Names(const std::vector<kernel::FakeKernel::Message>& messages,
                    kernel::NodeId parent, std::string_view name);
  // Whether an INVAL_INODE of the node is.
  static bool Invalidates(
      const std::vector<kernel::FakeKernel::Message>& messages,
      kernel::NodeId node);

  // The superblock goes.
  void Close();

  View& view() { return *view_; }
  kernel::Session& session() { return *session_; }
  kernel::FakeBackingDevice& backing() { return *backing_; }

  template <typename T>
  static std::string Bytes(const T& in) {
    return std::string(reinterpret_cast<const char*>(&in), sizeof(in));
  }

 private:
  void Serve();
  void Collect();

  kernel::FakeKernel kernel_;
  std::unique_ptr<View> view_;
  std::shared_ptr<kernel::Session> session_;
  kernel::FakeBackingDevice* backing_ = nullptr;
  kernel::Session::Buffer buffer_;
  std::map<uint64_t, Answer> answers_;
  std::vector<kernel::FakeKernel::Message> notifications_;
};

}  // namespace fused

#endif  // FUSED_FUSED_TESTING_MOUNTED_VIEW_H_
