// Views of one lower tree on fake kernels, by a small policy.
#ifndef FUSED_FUSED_TESTING_VIEW_FIXTURE_H_
#define FUSED_FUSED_TESTING_VIEW_FIXTURE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fused/lower_node.h"
#include "fused/lower_tree.h"
#include "fused/rules.h"
#include "fused/testing/mounted_view.h"
#include "fused/view.h"
#include "gtest/gtest.h"
#include "kernel/invalidation.h"
#include "kernel/testing/scratch.h"

namespace fused {

// Where what is allowed; everywhere else all is.
//   Private/{package}   its app's; it does not exist for others
//   Secret              does not exist
//   Daemon              served by the daemon
//   ReadOnly            LOOKUP, LIST, READ; EACCES
//   Images              *.jpg alone may be made; EPERM. Others' can't be
//                       written or removed: EACCES
extern const std::string_view kViewPolicy;
// com.example (10001, the requests') and com.other (10002). 10003 is unlisted.
extern const std::string_view kViewApps;

class ViewTest : public testing::Test {
 protected:
  ViewTest();
  ~ViewTest() override;

  void SetUp() override;

  // A view that serves. Lives until the test ends.
  MountedView& Mount(const ViewIdentity& identity = {});
  // The app's own.
  MountedView& MountApp();
  MountedView& MountWithout(uint64_t kernel_flags);

  // In the lower tree.
  std::string Path(std::string_view name) const;
  void MakeFile(std::string_view name, std::string_view content) const;
  void MakeDirectory(std::string_view name) const;
  bool Exists(std::string_view name) const;
  std::string Content(std::string_view name) const;

  // Puts other rules in force.
  void SetRules(std::string_view policy, std::string_view apps);
  // Has all posted notifications sent.
  void Sync();

  kernel::ScratchDirectory scratch_;
  std::unique_ptr<LowerTree> tree_;
  Rules rules_;
  uint64_t epoch_ = 1;
  kernel::InvalidationWorker invalidations_;
  // Why opens were served by the daemon.
  std::vector<std::string> fallbacks_;
  // As a test sets it before it mounts.
  VolumeContext context_;
  std::vector<std::unique_ptr<MountedView>> views_;
};

}  // namespace fused

#endif  // FUSED_FUSED_TESTING_VIEW_FIXTURE_H_
