#include "kernel/status.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace fused::kernel {
namespace {

// Above all canonical codes, so that a status keeps its errno without a
// payload: absl::Status stores a bare code in its own word.
constexpr int kErrnoBase = 1000;
constexpr int kMaxErrno = 4095;  // the kernel's own bound

// strerror(3) need not be thread-safe.
const char* Text(int error) {
  const char* text = strerrordesc_np(error);
  return text == nullptr ? "Unknown error" : text;
}

int ErrnoOfCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kNotFound:
      return ENOENT;
    case absl::StatusCode::kPermissionDenied:
      return EACCES;
    case absl::StatusCode::kUnimplemented:
      return EOPNOTSUPP;
    case absl::StatusCode::kInvalidArgument:
      return EINVAL;
    case absl::StatusCode::kResourceExhausted:
      return ENOMEM;
    case absl::StatusCode::kCancelled:
      return EINTR;
    case absl::StatusCode::kAlreadyExists:
      return EEXIST;
    case absl::StatusCode::kDeadlineExceeded:
      return ETIMEDOUT;
    case absl::StatusCode::kUnavailable:
      return EAGAIN;
    default:
      return EIO;
  }
}

}  // namespace

absl::Status ErrnoStatus(int error) {
  return ErrnoStatus(error, std::string_view());
}

absl::Status ErrnoStatus(int error, std::string_view what) {
  if (error == 0) return absl::OkStatus();
  // What is no errno must still not become an OK.
  if (error < 0 || error > kMaxErrno) error = EIO;
  const auto code = static_cast<absl::StatusCode>(kErrnoBase + error);
  if (what.empty()) return absl::Status(code, "");
  return absl::Status(code, absl::StrCat(what, ": ", Text(error)));
}

int ErrnoOf(const absl::Status& status) {
  const int raw = status.raw_code();
  if (raw > kErrnoBase && raw <= kErrnoBase + kMaxErrno) {
    return raw - kErrnoBase;
  }
  return ErrnoOfCode(status.code());
}

std::string Describe(const absl::Status& status) {
  if (status.ok()) return "OK";
  if (!status.message().empty()) return std::string(status.message());
  return Text(ErrnoOf(status));
}

}  // namespace fused::kernel
