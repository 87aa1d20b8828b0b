#include "kernel/status.h"

#include <cerrno>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace fused::kernel {
namespace {

TEST(StatusTest, CarriesEveryErrno) {
  for (int error = 1; error < 134; ++error) {
    const absl::Status status = ErrnoStatus(error);
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(ErrnoOf(status), error);
    EXPECT_TRUE(IsErrno(status, error));
    EXPECT_EQ(ErrnoOf(ErrnoStatus(error, "what")), error);
  }
  EXPECT_TRUE(ErrnoStatus(0).ok());
  EXPECT_EQ(ErrnoOf(absl::OkStatus()), 0);
  EXPECT_FALSE(IsErrno(absl::OkStatus(), 0));
}

TEST(StatusTest, WhatIsNoErrnoIsEio) {
  EXPECT_EQ(ErrnoOf(ErrnoStatus(-1)), EIO);
  EXPECT_EQ(ErrnoOf(ErrnoStatus(100000)), EIO);
}

TEST(StatusTest, CanonicalCodes) {
  EXPECT_EQ(ErrnoOf(absl::NotFoundError("")), ENOENT);
  EXPECT_EQ(ErrnoOf(absl::PermissionDeniedError("")), EACCES);
  EXPECT_EQ(ErrnoOf(absl::UnimplementedError("")), EOPNOTSUPP);
  EXPECT_EQ(ErrnoOf(absl::InvalidArgumentError("")), EINVAL);
  EXPECT_EQ(ErrnoOf(absl::ResourceExhaustedError("")), ENOMEM);
  EXPECT_EQ(ErrnoOf(absl::CancelledError("")), EINTR);
  EXPECT_EQ(ErrnoOf(absl::AlreadyExistsError("")), EEXIST);
  EXPECT_EQ(ErrnoOf(absl::DeadlineExceededError("")), ETIMEDOUT);
  EXPECT_EQ(ErrnoOf(absl::UnavailableError("")), EAGAIN);
  EXPECT_EQ(ErrnoOf(absl::InternalError("")), EIO);
  EXPECT_EQ(ErrnoOf(absl::DataLossError("")), EIO);
}

TEST(StatusTest, Describes) {
  EXPECT_EQ(Describe(ErrnoStatus(ENOENT)), "No such file or directory");
  EXPECT_EQ(Describe(ErrnoStatus(ENOENT, "/a")),
            "/a: No such file or directory");
  EXPECT_EQ(Describe(absl::InternalError("broken")), "broken");
  EXPECT_EQ(Describe(absl::OkStatus()), "OK");
}

}  // namespace
}  // namespace fused::kernel
