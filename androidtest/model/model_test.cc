// Random sequences of operations, by random apps in random views: each comes to
// what the rules say, as the model reads them.
//
//   FUSED_MODEL_SEED=7 repeats a sequence.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/model/generator.h"
#include "androidtest/model/player.h"
#include "androidtest/model/step.h"
#include "gtest/gtest.h"

namespace fused::androidtest::model {
namespace {

// On one device; more of them would not meet more often.
constexpr int kStepsOfSequence = 1'000;

uint64_t Seed() {
  uint64_t seed = 0;
  const char* given = getenv("FUSED_MODEL_SEED");
  if (given != nullptr && absl::SimpleAtoi(given, &seed)) return seed;
  return std::chrono::system_clock::now().time_since_epoch().count() %
         1'000'000;
}

std::string Story(const std::vector<Step>& steps) {
  std::string story;
  for (const Step& step : steps) {
    absl::StrAppend(&story, "  ", ToString(step), "\n");
  }
  const auto failure = PlayAll(steps);
  if (failure.has_value()) {
    absl::StrAppend(&story, "  where:\n  ", failure->second, "\n");
  } else {
    absl::StrAppend(&story, "  (which does not fail each time)\n");
  }
  return story;
}

// The difference with the sequence that led to it, as short as can be.
testing::AssertionResult PlaySequence(uint64_t seed, int count) {
  Generator generator(seed);
  std::vector<Step> steps;
  std::optional<std::string> difference;
  {
    Player player;
    while (!difference.has_value() && static_cast<int>(steps.size()) < count) {
      steps.push_back(generator.Next(player.world()));
      difference = player.Play(steps.back());
    }
    if (!difference.has_value()) difference = player.CompareLower();
    if (!difference.has_value()) {
      if (player.Stop()) return testing::AssertionSuccess();
      difference = "the daemon does not stop as it should";
    }
  }
  const std::string what = absl::StrCat("FUSED_MODEL_SEED=", seed, ", step ",
                                        steps.size(), ": ", *difference);
  // Before what takes its time.
  GTEST_LOG_(WARNING) << what;
  return testing::AssertionFailure()
         << what << "\nthe shortest sequence that was found:\n"
         << Story(Shrink(steps));
}

class ModelTest : public DeviceTest {};

TEST_F(ModelTest, EveryStepIsAsTheRulesSay) {
  const int total = IsLong() ? 200'000 : 3'000;
  const uint64_t first = Seed();
  RecordProperty("seed", absl::StrCat(first));
  for (int i = 0; i < total / kStepsOfSequence; ++i) {
    ASSERT_TRUE(PlaySequence(first + i, kStepsOfSequence));
  }
}

}  // namespace
}  // namespace fused::androidtest::model
