// A directory that policies and app directories are taken from.
#ifndef FUSED_FUSED_DROP_IN_H_
#define FUSED_FUSED_DROP_IN_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernel/fd.h"
#include "proto/control.pb.h"

namespace fused {

// For whoever can only write files. policy.textproto, policy.binpb,
// apps.textproto and apps.binpb are pushed when they are renamed into the
// directory or closed after writing, and when it starts; what became of them is
// put beside, at once, as policy.result and apps.result: ACK or NACK in the
// first line, then the issues. Taken is only what root or an admin owns and
// nobody else may write. Thread-safe.
class DropIn {
 public:
  using Push =
      std::function<control::v1::PushResponse(const control::v1::PushRequest&)>;

  struct Options {
    std::string directory;
    std::vector<uid_t> admin_uids;
    // A file was not even pushed, for what it is or whose. May be null.
    std::function<void(control::v1::PushRequest::Kind kind, uid_t owner,
                       const std::string& why)>
        not_taken;
  };

  // Makes the directory (0755) where it is missing, and pushes what is there.
  // `push` is called on this thread and then on one of its own.
  // INVALID_ARGUMENT: others may write the directory.
  static absl::StatusOr<std::unique_ptr<DropIn>> Start(Options options,
                                                       Push push);
  DropIn(const DropIn&) = delete;
  DropIn& operator=(const DropIn&) = delete;
  // Waits for a push that is under way.
  ~DropIn();

 private:
  DropIn(Options options, Push push)
      : options_(std::move(options)), push_(std::move(push)) {}

  absl::Status Open();
  void Run();
  // False: the directory is gone.
  bool TakeEvents();
  void TakeAll();
  // A file of this name in the directory, if it is one of those.
  void Take(const std::string& name);
  absl::StatusOr<std::string> Read(const std::string& name, uid_t& owner) const;
  bool IsAdmin(uid_t uid) const;
  void WriteResult(const std::string& stem, const std::string& text) const;

  const Options options_;
  const Push push_;
  kernel::Fd directory_;
  kernel::Fd events_;
  kernel::Fd stop_;
  std::thread thread_;
};

}  // namespace fused

#endif  // FUSED_FUSED_DROP_IN_H_
