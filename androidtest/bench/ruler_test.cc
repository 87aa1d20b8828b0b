#include "androidtest/bench/ruler.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "androidtest/bench/exchange.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::androidtest {
namespace {

class RulerTest : public testing::Test {
 protected:
  RulerTest() {
    std::string name = absl::StrCat(testing::TempDir(), "/ruler.XXXXXX");
    top_ = mkdtemp(name.data());
  }
  ~RulerTest() override { std::filesystem::remove_all(top_); }

  Measured Run(const std::string& work, const std::string& fields) {
    const auto task =
        ParseTask(absl::StrCat(work, "\tpath=", top_, "\t", fields));
    EXPECT_TRUE(task.ok()) << task.status();
    const auto measured = Measure(*task);
    EXPECT_TRUE(measured.ok()) << measured.status();
    return *measured;
  }

  size_t Names() const {
    return std::distance(std::filesystem::directory_iterator(top_), {});
  }

  std::string top_;
};

TEST_F(RulerTest, CountsWhatItDoes) {
  EXPECT_EQ(Run("fill", "count=30\tsize=8192").ops, 30);
  EXPECT_EQ(Names(), 30);
  EXPECT_EQ(std::filesystem::file_size(top_ + "/f0000029"), 8192);
  const Measured measured = Run("open_read", "count=100\tset=30");
  EXPECT_EQ(measured.ops, 100);
  EXPECT_EQ(measured.errors, 0);
  EXPECT_GT(measured.wall_ns, 0);
  EXPECT_GT(measured.client_cpu_ns, 0);
  // A name is an operation.
  EXPECT_EQ(Run("list_stat", "count=2").ops, 2 * (30 + 2));
}

TEST_F(RulerTest, ThreadsShareTheSteps) {
  const Measured measured = Run("create", "count=101\tthreads=4");
  EXPECT_EQ(measured.ops, 101);
  EXPECT_EQ(measured.errors, 0);
  EXPECT_EQ(Names(), 101);
  EXPECT_EQ(Run("rename", "count=101\tthreads=2").errors, 0);
  EXPECT_EQ(Run("unlink", "count=101\tthreads=3").errors, 0);
  EXPECT_EQ(Names(), 0);
}

TEST_F(RulerTest, EndsWhenTheTimeIsOver) {
  const Measured measured = Run("stat", "millis=20");
  EXPECT_GE(measured.wall_ns, 20'000'000);
  EXPECT_GT(measured.ops, 100);
}

TEST_F(RulerTest, SaysWhatFailed) {
  const Measured measured = Run("open", "count=5\tset=5");
  EXPECT_EQ(measured.errors, 5);
  EXPECT_EQ(measured.first_errno, ENOENT);
  // Where that is what is measured, it is none.
  EXPECT_EQ(Run("missing", "count=5\tset=5").errors, 0);
  EXPECT_EQ(Run("exec", "count=1\t--\tfalse").errors, 1);
  EXPECT_EQ(Run("exec", "count=1\t--\ttrue").errors, 0);
}

TEST_F(RulerTest, ACommandWritesWhereItShould) {
  const std::string out = top_ + "/out";
  EXPECT_EQ(
      Run("exec", absl::StrCat("count=1\tout=", out, "\t--\techo\ta b")).errors,
      0);
  EXPECT_EQ(std::filesystem::file_size(out), 4);
}

TEST_F(RulerTest, TheDaemonsTimeCounts) {
  const Measured alone = Run("stat", "millis=20");
  EXPECT_EQ(alone.daemon_cpu_ns, 0);
  // Here the daemon is this process.
  const Measured measured =
      Run("stat", absl::StrCat("millis=20\tdaemon=", getpid()));
  EXPECT_GT(measured.daemon_cpu_ns, 0);
}

TEST(ParseTaskTest, RefusesWhatItDoesNotKnow) {
  EXPECT_FALSE(ParseTask("no_work\tcount=1").ok());
  EXPECT_FALSE(ParseTask("stat\tcount=1\twhat=1").ok());
  EXPECT_FALSE(ParseTask("stat\tcount=-1").ok());
  EXPECT_FALSE(ParseTask("stat\tpath=/").ok());
  EXPECT_FALSE(ParseTask("stat\tcount=1\tthreads=0").ok());
  EXPECT_TRUE(ParseTask("stat\tcount=1\tpath=/a b=c").ok());
}

TEST(ToJsonTest, IsOneLine) {
  Measured measured;
  measured.ops = 7;
  EXPECT_EQ(ToJson(measured),
            "{\"ops\": 7, \"wall_ns\": 0, \"client_cpu_ns\": 0, "
            "\"daemon_cpu_ns\": 0, \"errors\": 0, \"errno\": 0}");
}

// It comes back where it was.
TEST(ExchangeTest, IsMeasured) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  const auto exchange = MeasureExchange(absl::Milliseconds(2));
  ASSERT_TRUE(exchange.ok()) << exchange.status();
  EXPECT_GT(exchange->one_cpu_ns, 0);
  EXPECT_EQ(exchange->two_cpus_ns.has_value(), CPU_COUNT(&before) > 1);
  EXPECT_GT(exchange->two_cpus_ns.value_or(1), 0);
  cpu_set_t after;
  ASSERT_EQ(sched_getaffinity(0, sizeof(after), &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

}  // namespace
}  // namespace fused::androidtest
