// Errors that carry an errno, without an allocation.
//
// Inside, an error is an absl::Status. Where it comes from a system call, or is
// meant for an app, it carries the errno as its raw code; ErrnoOf() is the one
// way back, for the reply encoder. All functions are thread-safe.
#ifndef FUSED_KERNEL_STATUS_H_
#define FUSED_KERNEL_STATUS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace fused::kernel {

// The status that stands for `error`, an errno from <cerrno>; 0 is OK. Makes no
// allocation. raw_code() is 1000 + error; message() is empty.
absl::Status ErrnoStatus(int error);

// As above with the errno's name and a text for an operator, "WHAT: No such
// file or directory". Allocates.
absl::Status ErrnoStatus(int error, std::string_view what);

// The errno to answer an app with: 0 for OK; the errno that ErrnoStatus() put
// in; for a canonical code its nearest errno (kNotFound: ENOENT,
// kPermissionDenied: EACCES, kUnimplemented: EOPNOTSUPP, kInvalidArgument:
// EINVAL, kResourceExhausted: ENOMEM, kCancelled: EINTR, kAlreadyExists:
// EEXIST, kDeadlineExceeded: ETIMEDOUT, kUnavailable: EAGAIN); EIO for the
// rest.
int ErrnoOf(const absl::Status& status);

// Whether `status` stands for `error`.
inline bool IsErrno(const absl::Status& status, int error) {
  return !status.ok() && ErrnoOf(status) == error;
}

// "No such file or directory" or the message: what to print for `status`.
std::string Describe(const absl::Status& status);

}  // namespace fused::kernel

#endif  // FUSED_KERNEL_STATUS_H_
