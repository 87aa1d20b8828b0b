#include "fused/testing/view_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <utility>

#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "fused/testing/snapshot.h"
#include "kernel/fd.h"

namespace fused {

const std::string_view kViewPolicy = R"(
name: "test" version: 1
media_types { name: "IMAGE" extensions: "jpg" }
path_classes { name: "private" patterns: "Private/{package}/**" }
path_classes { name: "secret" patterns: "Secret/**" }
path_classes { name: "daemon" patterns: "Daemon/**" }
path_classes { name: "readonly" patterns: "ReadOnly/**" }
path_classes { name: "images" patterns: "Images/**" names: FAT }
rules { name: "private_owner" path_classes: "private" operations: ANY
        when { relation: OWNS_PATH } effect { allow {} } }
rules { name: "private_rest" path_classes: "private" operations: ANY
        effect { deny { error: ENOENT } } }
rules { name: "secret" path_classes: "secret" operations: ANY
        effect { deny { error: ENOENT } } }
rules { name: "daemon" path_classes: "daemon" operations: ANY
        effect { allow { io: DAEMON } } }
rules { name: "readonly" path_classes: "readonly"
        operations: [LOOKUP, LIST, READ] effect { allow {} } }
rules { name: "readonly_rest" path_classes: "readonly" operations: ANY
        effect { deny { error: EACCES } } }
rules { name: "images_see" path_classes: "images"
        operations: [LOOKUP, LIST, READ, MKDIR, RMDIR] effect { allow {} } }
rules { name: "images_make" path_classes: "images"
        operations: [CREATE, RENAME_TO]
        when { any_of { conditions { media_type: "IMAGE" }
                        conditions { is_directory: true } } }
        effect { allow {} } }
rules { name: "images_type" path_classes: "images"
        operations: [CREATE, RENAME_TO] effect { deny { error: EPERM } } }
rules { name: "images_own" path_classes: "images" operations: ANY
        when { any_of { conditions { relation: OWNS_FILE }
                        conditions { is_directory: true } } }
        effect { allow {} } }
rules { name: "images_rest" path_classes: "images" operations: ANY
        effect { deny { error: EACCES } } }
rules { name: "rest" operations: ANY effect { allow {} } }
)";

const std::string_view kViewApps = R"(
version: 1
apps { package: "com.example" uid: 10001 }
apps { package: "com.other" uid: 10002 }
)";

ViewTest::ViewTest()
    : rules_(MakeSnapshot(kViewPolicy, kViewApps)), invalidations_({}) {}

ViewTest::~ViewTest() = default;

void ViewTest::SetUp() {
  scratch_.MakeDirectory("lower");
  const std::string lower = scratch_.Path("lower");
  absl::StatusOr<std::unique_ptr<LowerTree>> tree = LowerTree::Create(
      kernel::Fd(open(lower.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)), {});
  ASSERT_THAT(tree, absl_testing::IsOk());
  tree_ = *std::move(tree);
  context_.tree = tree_.get();
  context_.rules = &rules_;
  context_.invalidations = &invalidations_;
  context_.fallback = [this](std::string_view reason) {
    fallbacks_.emplace_back(reason);
  };
}

MountedView& ViewTest::Mount(const ViewIdentity& identity) {
  views_.push_back(std::make_unique<MountedView>(context_, identity));
  return *views_.back();
}

MountedView& ViewTest::MountApp() {
  return Mount({.package = "com.example", .user = 0, .uid = kAppUid});
}

MountedView& ViewTest::MountWithout(uint64_t kernel_flags) {
  views_.push_back(std::make_unique<MountedView>(
      context_, ViewIdentity{},
      kernel::FakeKernel::AllFlags() & ~kernel_flags));
  return *views_.back();
}

std::string ViewTest::Path(std::string_view name) const {
  return absl::StrCat(scratch_.Path("lower"), "/", name);
}

void ViewTest::MakeFile(std::string_view name, std::string_view content) const {
  scratch_.MakeFile(absl::StrCat("lower/", name), content);
}

void ViewTest::MakeDirectory(std::string_view name) const {
  scratch_.MakeDirectory(absl::StrCat("lower/", name));
}

bool ViewTest::Exists(std::string_view name) const {
  struct stat stat = {};
  return lstat(Path(name).c_str(), &stat) == 0;
}

std::string ViewTest::Content(std::string_view name) const {
  std::ifstream in(Path(name), std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

void ViewTest::SetRules(std::string_view policy, std::string_view apps) {
  rules_.Set(MakeSnapshot(policy, apps, ++epoch_));
}

void ViewTest::Sync() { ASSERT_TRUE(invalidations_.Sync(absl::Seconds(30))); }

}  // namespace fused
