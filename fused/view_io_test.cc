// What handles do beside reading and writing.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "fuse_kernel.h"
#include "fused/testing/view_fixture.h"
#include "gtest/gtest.h"

namespace fused {
namespace {

class IoTest : public ViewTest {
 protected:
  void SetUp() override {
    ViewTest::SetUp();
    MakeFile("f", "0123456789");
    MakeFile("g", "");
  }
};

TEST_F(IoTest, SeeksCopiesAndTheHarmlessIoctls) {
  context_.passthrough = false;
  MountedView& view = Mount();
  const kernel::NodeId f = view.Walk("f");
  const kernel::NodeId g = view.Walk("g");
  const uint64_t from = view.Open(f, O_RDONLY).opened().fh;
  const uint64_t to = view.Open(g, O_WRONLY).opened().fh;
  fuse_lseek_in seek = {};
  seek.fh = from;
  seek.offset = 3;
  seek.whence = SEEK_HOLE;
  EXPECT_EQ(view.Call(FUSE_LSEEK, f, seek, "").As<fuse_lseek_out>().offset,
            10u);
  seek.whence = SEEK_DATA;
  EXPECT_EQ(view.Call(FUSE_LSEEK, f, seek, "").As<fuse_lseek_out>().offset, 3u);
  seek.offset = 11;
  EXPECT_EQ(view.Call(FUSE_LSEEK, f, seek, "").error, ENXIO);
  seek.whence = SEEK_END;
  EXPECT_EQ(view.Call(FUSE_LSEEK, f, seek, "").error, EINVAL);

  fuse_copy_file_range_in copy = {};
  copy.fh_in = from;
  copy.fh_out = to;
  copy.nodeid_out = g;
  copy.off_in = 2;
  copy.len = UINT64_MAX;
  EXPECT_EQ(
      view.Call(FUSE_COPY_FILE_RANGE, f, copy, "").As<fuse_write_out>().size,
      8u);
  EXPECT_EQ(Content("g"), "23456789");
  copy.flags = 1;
  EXPECT_EQ(view.Call(FUSE_COPY_FILE_RANGE, f, copy, "").error, EINVAL);
  copy.flags = 0;
  std::swap(copy.fh_in, copy.fh_out);
  EXPECT_EQ(view.Call(FUSE_COPY_FILE_RANGE, g, copy, "").error, EBADF);

  fuse_poll_in poll = {};
  poll.fh = from;
  // Regular files are always ready, which the kernel then knows.
  EXPECT_EQ(view.Call(FUSE_POLL, f, poll, "").error, ENOSYS);
  fuse_ioctl_in ioctl = {};
  ioctl.fh = from;
  ioctl.cmd = 2;  // FIGETBSZ
  ioctl.out_size = 4;
  const Answer answer = view.Call(FUSE_IOCTL, f, ioctl, "");
  ASSERT_EQ(answer.error, 0);
  EXPECT_GT(answer.As<int>(sizeof(fuse_ioctl_out)), 0);
  // FS_IOC_SETFLAGS, FITRIM, FIBMAP, one that nobody knows.
  for (const uint32_t command : {0x40086602u, 0xc0185879u, 1u, 0xdeadbeefu}) {
    ioctl.cmd = command;
    EXPECT_EQ(view.Call(FUSE_IOCTL, f, ioctl, "").error, ENOTTY) << command;
  }
}

TEST_F(IoTest, OnPassthroughTheKernelCopiesWhereNothingIsSaved) {
  MountedView& view = Mount();
  const kernel::NodeId f = view.Walk("f");
  const kernel::NodeId g = view.Walk("g");
  fuse_copy_file_range_in copy = {};
  copy.fh_in = view.Open(f, O_RDONLY).opened().fh;
  copy.fh_out = view.Open(g, O_WRONLY).opened().fh;
  copy.nodeid_out = g;
  copy.len = 4;
  const int error = tree_->copies_bytes() ? ENOSYS : 0;
  EXPECT_EQ(view.Call(FUSE_COPY_FILE_RANGE, f, copy, "").error, error);
}

}  // namespace
}  // namespace fused
