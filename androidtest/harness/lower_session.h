// A lower file system that a test serves itself.
#ifndef FUSED_ANDROIDTEST_HARNESS_LOWER_SESSION_H_
#define FUSED_ANDROIDTEST_HARNESS_LOWER_SESSION_H_

#include <string>
#include <thread>

// libfuse's.
struct fuse_session;
struct fuse_lowlevel_ops;

namespace fused::androidtest {

// libfuse's session, served by one thread of its own.
class LowerSession {
 public:
  // Mounted at `mountpoint`, for all users, until it is destroyed; `owner` is
  // what fuse_req_userdata() says.
  LowerSession(const std::string& mountpoint,
               const fuse_lowlevel_ops& operations, void* owner);
  // No request may be left unanswered.
  ~LowerSession();
  LowerSession(const LowerSession&) = delete;
  LowerSession& operator=(const LowerSession&) = delete;

  bool mounted() const { return session_ != nullptr; }

 private:
  const std::string mountpoint_;
  fuse_session* session_ = nullptr;
  std::thread loop_;
};

}  // namespace fused::androidtest

#endif  // FUSED_ANDROIDTEST_HARNESS_LOWER_SESSION_H_
