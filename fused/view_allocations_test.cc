// What requests cost the heap in the steady state: nothing.
#include <fcntl.h>

#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>

#include "fuse_kernel.h"
#include "fused/app_limits.h"
#include "fused/metrics/registry.h"
#include "fused/metrics/requests.h"
#include "fused/testing/mounted_view.h"
#include "fused/testing/view_fixture.h"
#include "gtest/gtest.h"
#include "kernel/testing/fake_kernel.h"

namespace {

thread_local bool counting = false;
thread_local int allocations = 0;

void* Counted(void* memory) {
  if (counting) ++allocations;
  return memory;
}

}  // namespace

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// These have a malloc() of their own.
void* operator new(size_t size) { return Counted(std::malloc(size)); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t /*size*/) noexcept {
  std::free(memory);
}
#else
extern "C" {
// glibc's own, by the names that it gives for this.
void* __libc_malloc(size_t size);                 // NOLINT
void* __libc_calloc(size_t count, size_t size);   // NOLINT
void* __libc_realloc(void* memory, size_t size);  // NOLINT

void* malloc(size_t size) { return Counted(__libc_malloc(size)); }
void* calloc(size_t count, size_t size) {
  return Counted(__libc_calloc(count, size));
}
void* realloc(void* memory, size_t size) {
  return Counted(__libc_realloc(memory, size));
}
}
#endif

namespace fused {
namespace {

// Longer than a string holds without the heap.
constexpr std::string_view kName = "IMG_20240101_123456789.jpg";
constexpr int kRounds = 200;

class AllocationsTest : public ViewTest {
 protected:
  void Prepare() {
    MakeFile(kName, "x");
    context_.limits = &limits_;
    context_.requests = &requests_;
    context_.registry = &registry_;
    view_ = &MountApp();
    node_ = view_->Walk(kName);
    ASSERT_NE(node_, 0u);
  }

  // The answer to a request, and what serving it allocated.
  Answer Count(uint32_t opcode, kernel::NodeId node, std::string_view body) {
    const uint64_t unique = view_->Transmit(opcode, node, body);
    counting = true;
    const kernel::Session::Progress progress = view_->session().Serve(buffer_);
    counting = false;
    EXPECT_EQ(progress, kernel::Session::Progress::kServed);
    if (opcode == FUSE_FORGET) return {};
    return view_->Poll(unique).value_or(Answer{.error = EIO});
  }

  // What the second half of many rounds of `round` allocate.
  template <typename Round>
  int Steadily(Round round) {
    for (int i = 0; i < kRounds; ++i) round();
    allocations = 0;
    for (int i = 0; i < kRounds; ++i) round();
    return allocations;
  }

  void LookUpAndForget() {
    const Answer found =
        Count(FUSE_LOOKUP, kernel::kRootNode, kernel::Terminated(kName));
    EXPECT_EQ(found.error, 0);
    EXPECT_EQ(found.node(), node_);
    Count(FUSE_FORGET, node_, MountedView::Bytes(fuse_forget_in{1}));
  }

  void GetAttributes() {
    EXPECT_EQ(
        Count(FUSE_GETATTR, node_, MountedView::Bytes(fuse_getattr_in{})).error,
        0);
  }

  void OpenAndRelease(int flags) {
    fuse_open_in in = {};
    in.flags = static_cast<uint32_t>(flags);
    const Answer opened = Count(FUSE_OPEN, node_, MountedView::Bytes(in));
    EXPECT_EQ(opened.error, 0);
    EXPECT_NE(opened.opened().backing_id, 0);
    fuse_release_in release = {};
    release.fh = opened.opened().fh;
    EXPECT_EQ(Count(FUSE_RELEASE, node_, MountedView::Bytes(release)).error, 0);
  }

  AppLimits limits_{{}};
  metrics::Requests requests_;
  metrics::Registry registry_;
  MountedView* view_ = nullptr;
  kernel::NodeId node_ = 0;
  kernel::Session::Buffer buffer_;
};

TEST_F(AllocationsTest, TheCounterCounts) {
  Prepare();
  EXPECT_NE(Steadily([] {
              counting = true;
              const std::string copy(kName);
              counting = false;
              EXPECT_EQ(copy, kName);
            }),
            0);
}

TEST_F(AllocationsTest, Media) {
  Prepare();
  EXPECT_EQ(Steadily([this] { LookUpAndForget(); }), 0);
  EXPECT_EQ(Steadily([this] { GetAttributes(); }), 0);
  EXPECT_EQ(Steadily([this] { OpenAndRelease(O_RDONLY); }), 0);
  EXPECT_EQ(Steadily([this] { OpenAndRelease(O_RDWR); }), 0);
}

TEST_F(AllocationsTest, Posix) {
  context_.posix = true;
  Prepare();
  EXPECT_EQ(Steadily([this] { LookUpAndForget(); }), 0);
  EXPECT_EQ(Steadily([this] { GetAttributes(); }), 0);
  EXPECT_EQ(Steadily([this] { OpenAndRelease(O_RDONLY); }), 0);
  EXPECT_EQ(Steadily([this] { OpenAndRelease(O_WRONLY); }), 0);
}

}  // namespace
}  // namespace fused
