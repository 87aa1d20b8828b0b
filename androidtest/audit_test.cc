// What the daemon decided is on record, and costs neither disk nor time that it
// may not cost.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/media_device.h"
#include "androidtest/harness/photo.h"
#include "androidtest/harness/process.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "proto/audit.pb.h"

namespace fused::androidtest {
namespace {

using audit::v1::Record;
using testing::Contains;
using testing::Each;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

MATCHER_P(IsKind, kind, "is " + Record::Kind_Name(kind)) {
  return arg.kind() == kind;
}

MATCHER_P3(Denies, operation, path, error,
           absl::StrCat("denies ", operation, " of ", path, " with ", error)) {
  return arg.kind() == Record::DENY && arg.operation() == operation &&
         arg.path() == path && arg.error() == error;
}

std::vector<Record> Parse(const std::string& lines) {
  std::vector<Record> records;
  for (std::string_view line : absl::StrSplit(lines, '\n', absl::SkipEmpty())) {
    Record record;
    EXPECT_TRUE(
        google::protobuf::util::JsonStringToMessage(std::string(line), &record)
            .ok())
        << line;
    records.push_back(std::move(record));
  }
  return records;
}

std::vector<Record> Audit(const Device& device, Arguments filters = {}) {
  Arguments arguments = {"--json", "audit"};
  arguments.insert(arguments.end(), filters.begin(), filters.end());
  const Completed asked = device.Ctl(arguments);
  EXPECT_EQ(asked.exit, 0) << asked.error;
  return Parse(asked.output);
}

class AuditTest : public BothViewsTest {
 protected:
  void Start() {
    PlantDirectories(device_);
    ASSERT_TRUE(WriteFile(device_.LowerPath("DCIM/a.jpg"), Photo()));
    ASSERT_TRUE(WriteFile(device_.LowerPath("Download/a.txt"), "text"));
    ASSERT_TRUE(device_.Start());
  }
  App Launch(const char* package) { return device_.Launch(package, view()); }

  Device device_{{.packages = StandardPackages()}};
};

TEST_P(AuditTest, EachDenialIsTold) {
  Start();
  const App app = Launch(kStranger);
  const std::string secret = absl::StrCat("Android/data/", kCamera, "/x");
  const std::string parent = absl::StrCat("Android/data/", kCamera);
  EXPECT_THAT(app.Stat(secret), FailsWith(ENOENT));
  EXPECT_THAT(app.List("Android/data"), FailsWith(EACCES));
  EXPECT_THAT(app.Read("Download/a.txt"), FailsWith(EACCES));
  EXPECT_THAT(app.Create("DCIM/a.txt"), FailsWith(EPERM));
  EXPECT_THAT(app.Unlink("Download/a.txt"), FailsWith(EACCES));
  EXPECT_THAT(app.MakeDirectory("Other"), FailsWith(EPERM));
  EXPECT_THAT(app.Rename("Download/a.txt", "Download/b.txt"),
              FailsWith(EACCES));
  EXPECT_THAT(app.Truncate("Download/a.txt", 0), FailsWith(EACCES));
  const std::vector<Record> records = Audit(device_, {"--kind=DENY"});
  EXPECT_THAT(records, Contains(Denies("LOOKUP", parent, "ENOENT")));
  EXPECT_THAT(records, Contains(Denies("OPENDIR", "Android/data", "EACCES")));
  EXPECT_THAT(records, Contains(Denies("OPEN", "Download/a.txt", "EACCES")));
  EXPECT_THAT(records, Contains(Denies("CREATE", "DCIM/a.txt", "EPERM")));
  EXPECT_THAT(records, Contains(Denies("UNLINK", "Download/a.txt", "EACCES")));
  EXPECT_THAT(records, Contains(Denies("MKDIR", "Other", "EPERM")));
  EXPECT_THAT(records, Contains(Denies("RENAME2", "Download/a.txt", "EACCES")));
  EXPECT_THAT(records, Contains(Denies("SETATTR", "Download/a.txt", "EACCES")));
  for (const Record& record : records) {
    EXPECT_EQ(record.package(), kStranger);
    EXPECT_EQ(record.volume(), "external_primary");
    EXPECT_GE(record.count(), 1u);
    EXPECT_NE(record.epoch(), 0u);
    EXPECT_FALSE(record.path_class().empty()) << record.ShortDebugString();
  }
}

TEST_P(AuditTest, AMediaIndexThatStopsWorkingIsTold) {
  Start();
  ASSERT_TRUE(device_.Stop());
  {
    const LockedDatabase database(device_.state() + "/media.db");
    ASSERT_TRUE(database.locked());
    ASSERT_TRUE(device_.Start());
  }
  const auto state = [this](std::string_view what) {
    return Eventually([this, what] {
      const std::vector<Record> records = Audit(device_, {"--kind=STATE"});
      return std::any_of(records.begin(), records.end(),
                         [what](const Record& record) {
                           return absl::StrContains(record.message(), what);
                         });
    });
  };
  EXPECT_TRUE(state("the media index is DEGRADED: "));
  EXPECT_TRUE(state("the media index is READY"));
}

// What is not there was not denied; and who is allowed is not told of.
TEST_P(AuditTest, NothingElseIsTold) {
  Start();
  const App camera = Launch(kCamera);
  EXPECT_THAT(camera.Stat("DCIM/none.jpg"), FailsWith(ENOENT));
  EXPECT_THAT(camera.Create("DCIM/b.jpg", "x"), Succeeds());
  EXPECT_THAT(camera.Create("DCIM/b.jpg", "x"), FailsWith(EEXIST));
  EXPECT_THAT(camera.Read("DCIM/b.jpg"), Succeeds());
  EXPECT_THAT(Audit(device_, {"--kind=DENY"}), IsEmpty());
}

TEST_P(AuditTest, RedactedOpensPushesAndStatesAreTold) {
  Start();
  const App gallery = Launch(kSystemGallery);
  EXPECT_THAT(gallery.Read("DCIM/a.jpg"), IsRedacted());
  const std::vector<Record> opens = Audit(device_, {"--kind=REDACTED_OPEN"});
  ASSERT_FALSE(opens.empty());
  EXPECT_EQ(opens[0].path(), "DCIM/a.jpg");
  EXPECT_EQ(opens[0].package(), kSystemGallery);
  EXPECT_FALSE(opens[0].rule().empty());

  const std::string apps =
      device_.Keep("apps", AppsText(StandardPackages(), 5));
  EXPECT_EQ(device_.Ctl({"apps", apps}).exit, 0);
  EXPECT_EQ(device_.Ctl({"push", device_.Keep("bad", "rules { }")}).exit, 1);
  const std::vector<Record> pushes = Audit(device_, {"--kind=PUSH"});
  ASSERT_EQ(pushes.size(), 3u);
  EXPECT_THAT(pushes[0].message(), HasSubstr("APPS of START accepted"));
  EXPECT_THAT(pushes[1].message(), HasSubstr("APPS accepted, version 5"));
  EXPECT_THAT(pushes[2].message(), HasSubstr("POLICY refused"));
  EXPECT_THAT(Audit(device_, {"--kind=STATE"}), Not(IsEmpty()));
}

TEST_P(AuditTest, OutlivesTheDaemon) {
  Start();
  EXPECT_THAT(Launch(kStranger).Read("Download/a.txt"), FailsWith(EACCES));
  ASSERT_TRUE(device_.Stop());
  const std::string log = ReadFile(device_.state() + "/audit/audit.jsonl");
  EXPECT_THAT(Parse(log), Contains(Denies("OPEN", "Download/a.txt", "EACCES")));
  EXPECT_THAT(log, HasSubstr("the daemon has stopped"));
  ASSERT_TRUE(device_.Start());
  EXPECT_THAT(Audit(device_, {absl::StrCat("--package=", kStranger)}),
              Contains(Denies("OPEN", "Download/a.txt", "EACCES")));
}

INSTANTIATE_BOTH_VIEWS(AuditTest);

class AuditFilterTest : public DeviceTest {};

TEST_F(AuditFilterTest, FiltersAndFollowers) {
  Device device({.packages = StandardPackages()});
  PlantDirectories(device);
  ASSERT_TRUE(WriteFile(device.LowerPath("Download/a.txt"), "text"));
  ASSERT_TRUE(device.Start());
  // It prints what is there and what comes.
  const int output = open(device.Keep("followed", "").c_str(),
                          O_WRONLY | O_APPEND | O_CLOEXEC);
  Child follower({FusedctlPath(), "--control=" + device.control(), "--json",
                  "audit", "--follow", "--kind=DENY"},
                 {.output = output});
  close(output);
  const App app = device.Launch(kStranger, View::kApp);
  EXPECT_THAT(app.Read("Download/a.txt"), FailsWith(EACCES));
  EXPECT_THAT(app.Stat("Android/data/com.none"), FailsWith(ENOENT));
  EXPECT_TRUE(Eventually([&] {
    return Parse(ReadFile(device.directory() + "/followed")).size() >= 2;
  }));
  EXPECT_THAT(Audit(device, {"--path_prefix=Download/"}),
              Each(Denies("OPEN", "Download/a.txt", "EACCES")));
  EXPECT_THAT(Audit(device, {"--uid=4711"}), IsEmpty());
  EXPECT_THAT(Audit(device, {"--since=2000-01-01T00:00:00Z"}), Not(IsEmpty()));
  EXPECT_THAT(Audit(device, {"--since=2100-01-01T00:00:00Z"}), IsEmpty());
  EXPECT_THAT(Audit(device, {"--since=1h", "--kind=DENY"}), Not(IsEmpty()));
  EXPECT_EQ(device.Ctl({"audit", "--kind=NONE"}).exit, 2);
  EXPECT_EQ(device.Ctl({"audit", "--since=soon"}).exit, 2);
  const Completed text = device.Ctl({"audit", "--kind=DENY"});
  EXPECT_THAT(text.output, HasSubstr("DENY OPEN uid"));
  // A daemon that goes ends it.
  ASSERT_TRUE(device.Stop());
  EXPECT_EQ(follower.Wait(absl::Seconds(10)), 3);
}

TEST_F(AuditFilterTest, WhoMayNotAskIsTold) {
  Device device({.packages = StandardPackages()});
  PlantDirectories(device);
  ASSERT_TRUE(device.Start());
  const App app = device.LaunchUid(10077);
  for (const char* request : {"audit", "sync", "handles"}) {
    const Completed asked =
        RunCommand({"/usr/bin/setpriv", "--reuid=10077", "--clear-groups",
                    FusedctlPath(), "--control=" + device.control(), request});
    EXPECT_EQ(asked.exit, 1) << asked.error;
    EXPECT_THAT(asked.error, HasSubstr("only root"));
  }
  const std::vector<Record> records = Audit(device, {"--kind=CONTROL"});
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].uid(), 10077u);
  EXPECT_EQ(records[0].operation(), "audit");
  EXPECT_EQ(records[0].error(), "EACCES");
}

// The log of an app that is denied without end stays within its bounds; what it
// does not tell one by one, it counts.
TEST_F(AuditFilterTest, AHammeringAppFillsNothing) {
  constexpr int kNames = 2000;
  Device device({.packages = StandardPackages()});
  PlantDirectories(device);
  ASSERT_TRUE(device.Start());
  const App hostile = device.Launch(kStranger, View::kApp);
  for (int i = 0; i < kNames; ++i) {
    EXPECT_THAT(hostile.Stat(absl::StrCat("Android/data/p", i)),
                FailsWith(ENOENT));
  }
  const std::vector<Record> records =
      Audit(device, {absl::StrCat("--package=", kStranger), "--kind=DENY"});
  uint64_t counted = 0;
  for (const Record& record : records) counted += record.count();
  EXPECT_GE(counted, static_cast<uint64_t>(kNames));
  EXPECT_LE(records.size(), 64u + 4 * 60);
}

}  // namespace
}  // namespace fused::androidtest
