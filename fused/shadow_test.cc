#include "fused/shadow.h"

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/time/time.h"
#include "fused/rules.h"
#include "fused/testing/snapshot.h"
#include "gtest/gtest.h"
#include "policy/types.h"
#include "proto/control.pb.h"

namespace fused {
namespace {

using policy::Decision;
using policy::Error;
using policy::IoMode;

constexpr char kShadowed[] =
    "name: 'p' version: 1 rules { name: 'live' operations: ANY "
    "effect { allow {} } } shadow_rules { name: 'shade' operations: ANY "
    "effect { deny {} } }";

TEST(ShadowTest, CountsByDecisionsAndRules) {
  ShadowCounts counts;
  const Decision allowed = {Error::kNone, IoMode::kPassthrough, 0};
  const Decision other_rule = {Error::kNone, IoMode::kPassthrough, 3};
  const Decision daemon = {Error::kNone, IoMode::kDaemon, 0};
  const Decision denied = {Error::kAccess, IoMode::kDaemon, 1};
  const Decision denied_otherwise = {Error::kAccess, IoMode::kPassthrough, 2};
  counts.Note(allowed, other_rule);
  counts.Note(denied, denied_otherwise);
  counts.Note(allowed, denied);
  counts.Note(allowed, denied);
  counts.Note(allowed, daemon);
  const ShadowCounts::Totals totals = counts.totals();
  EXPECT_EQ(totals.agreed, 2u);
  ASSERT_EQ(totals.differences.size(), 2u);
  EXPECT_EQ(totals.differences[0].count, 2u);
  EXPECT_EQ(totals.differences[0].live, allowed);
  EXPECT_EQ(totals.differences[0].shadow, denied);
  EXPECT_EQ(totals.differences[1].shadow, daemon);
  EXPECT_EQ(totals.uncounted, 0u);
}

TEST(ShadowTest, IsBounded) {
  ShadowCounts counts;
  const Decision live = {Error::kNone, IoMode::kPassthrough, 0};
  for (uint16_t rule = 0; rule < 4096; ++rule) {
    counts.Note(live, {Error::kAccess, IoMode::kDaemon, rule});
  }
  const ShadowCounts::Totals totals = counts.totals();
  EXPECT_EQ(totals.differences.size() + totals.uncounted, 4096u);
  EXPECT_LE(totals.differences.size(), 1024u);
}

TEST(ShadowTest, NoRulesNoCounts) {
  const Rules rules(MakeSnapshot("name: 'p'"));
  EXPECT_EQ(rules.in_force().shadow, nullptr);
}

TEST(ShadowTest, TheStatusNamesTheRules) {
  const Rules rules(MakeSnapshot(kShadowed));
  const InForce now = rules.in_force();
  ASSERT_NE(now.shadow, nullptr);
  now.shadow->Note({Error::kNone, IoMode::kPassthrough, 0},
                   {Error::kAccess, IoMode::kDaemon, 0});
  control::v1::Status status;
  FillShadow(now.snapshot->policy(), now.shadow.get(), status);
  ASSERT_EQ(status.shadow().differences_size(), 1);
  const control::v1::ShadowDifference& line = status.shadow().differences(0);
  EXPECT_EQ(line.live(), "ALLOW PASSTHROUGH");
  EXPECT_EQ(line.live_rule(), "live");
  EXPECT_EQ(line.shadow(), "DENY EACCES");
  EXPECT_EQ(line.shadow_rule(), "shade");
}

// A request keeps the rules that it took; the last to let go of former ones
// ends them.
TEST(RulesTest, TellsWhenTheFormerOnesAreOver) {
  Rules rules(MakeSnapshot("name: 'p'", "", 1));
  InForce request = rules.in_force();
  const std::shared_ptr<const policy::Snapshot> kept = rules.snapshot();
  const Retired former = rules.Set(MakeSnapshot("name: 'p'", "", 2));
  EXPECT_EQ(rules.epoch(), 2u);
  EXPECT_EQ(rules.in_force().snapshot->epoch(), 2u);
  EXPECT_FALSE(former.Wait(absl::ZeroDuration()));
  InForce copy = std::move(request);
  request = {};
  EXPECT_FALSE(former.Wait(absl::Milliseconds(1)));
  EXPECT_EQ(copy.snapshot->epoch(), 1u);
  copy = {};
  // What is no request may keep it.
  EXPECT_TRUE(former.Wait(absl::ZeroDuration()));
  EXPECT_EQ(kept->epoch(), 1u);
}

}  // namespace
}  // namespace fused
