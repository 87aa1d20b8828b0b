// The engine and the interpreter decide alike on whatever is drawn.
//
//   FUSED_SEED=n       another draw (printed at the start)
//   FUSED_DECISIONS=n  a longer one
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "policy/engine.h"
#include "policy/names.h"
#include "policy/oracle/compare.h"
#include "policy/oracle/draw.h"
#include "policy/oracle/interpreter.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy::oracle {
namespace {

uint64_t Setting(const char* name, uint64_t otherwise) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread.
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

uint64_t Seed() { return Setting("FUSED_SEED", 20241120); }

TEST(PropertyTest, EngineDecidesAsTheInterpreter) {
  constexpr int kRequests = 500;
  const uint64_t goal = Setting("FUSED_DECISIONS", 1'000'000);
  std::cout << "FUSED_SEED=" << Seed() << std::endl;
  Dice dice(Seed());
  uint64_t decisions = 0;
  // By Error: a draw that is always refused would prove little.
  uint64_t answers[4] = {};
  while (decisions < goal) {
    Case drawn;
    drawn.policy = DrawPolicy(dice);
    drawn.apps = DrawApps(dice);
    std::string why;
    const auto snapshot = Compile(drawn.policy, drawn.apps, &why);
    ASSERT_NE(snapshot, nullptr) << why << drawn.ToString();
    const Interpreter interpreter(drawn.policy, drawn.apps);
    for (int i = 0; i < kRequests; ++i, ++decisions) {
      drawn.request = DrawRequest(dice, drawn.policy, drawn.apps);
      const Depth depth = i % 4 == 0 ? Depth::kAll : Depth::kDecide;
      if (!Difference(*snapshot, interpreter, drawn.request, depth).empty()) {
        const Case smallest = Shrink(drawn);
        FAIL() << Difference(smallest) << smallest.ToString();
      }
      const Decision decision = snapshot->Decide(
          snapshot->SubjectOf(drawn.request.caller),
          ObjectOf(*snapshot, drawn.request), SetOf(drawn.request));
      ++answers[static_cast<int>(decision.error)];
    }
  }
  std::cout << decisions << " decisions: " << answers[0] << " allowed, "
            << answers[1] << " ENOENT, " << answers[2] << " EACCES, "
            << answers[3] << " EPERM\n";
  for (uint64_t count : answers) EXPECT_GT(count, decisions / 100);
}

// The subjects that a directory of apps makes, and some that it does not.
std::vector<Subject> SubjectsOf(const Snapshot& snapshot,
                                const v1::AppDirectory& apps, uint32_t user) {
  std::vector<Subject> subjects = {snapshot.SubjectOf(user * 100000 + 77)};
  for (const v1::App& app : apps.apps()) {
    subjects.push_back(snapshot.SubjectOf(user * 100000 + app.uid()));
  }
  if (user == 0) {
    subjects.push_back(snapshot.SubjectOf(0));
    subjects.push_back(snapshot.SubjectOf(2000));
  }
  return subjects;
}

// What may stand at the place of a request, of whatever facts.
std::vector<Object> ObjectsAt(Dice& dice, const Snapshot& snapshot,
                              const Request& request, int types) {
  std::vector<Object> objects;
  for (int i = 0; i < 12; ++i) {
    Object object = ObjectOf(snapshot, request);
    object.facts = static_cast<uint32_t>(dice.Below(1u << types)) |
                   static_cast<uint32_t>(dice.Below(32)) << 16;
    if (dice.Chance(30)) object.facts = 0;
    if (!snapshot.apps().apps().empty()) {
      const v1::App& owner = dice.Pick(snapshot.apps().apps());
      object.file_owner = dice.Chance(50)
                              ? snapshot.AppOf(owner.package(), owner.uid())
                              : kNoApp;
    }
    objects.push_back(object);
  }
  return objects;
}

// Counts what is called uniform, and what was found to be so.
struct Tally {
  int places = 0;
  int found = 0;
  int promised = 0;
};

void CheckLookup(Dice& dice, const Snapshot& snapshot, const Case& drawn,
                 Tally& tally) {
  const auto objects =
      ObjectsAt(dice, snapshot, drawn.request, drawn.policy.media_types_size());
  bool seen[2] = {};
  for (const Subject& subject :
       SubjectsOf(snapshot, drawn.apps, drawn.request.tree)) {
    for (const Object& object : objects) {
      seen[snapshot.Decide(subject, object, Operation::kLookup).allowed()] =
          true;
    }
  }
  const bool promised = snapshot.UniformLookup(Walk(snapshot, drawn.request));
  ASSERT_FALSE(promised && seen[0] && seen[1]) << drawn.ToString();
  ++tally.places;
  tally.promised += promised;
  tally.found += !(seen[0] && seen[1]);
}

void CheckIo(Dice& dice, const Snapshot& snapshot, const Case& drawn,
             Tally& tally) {
  const auto objects =
      ObjectsAt(dice, snapshot, drawn.request, drawn.policy.media_types_size());
  bool seen[3] = {};
  for (uint32_t user : {drawn.request.tree, 0u}) {
    for (const Subject& subject : SubjectsOf(snapshot, drawn.apps, user)) {
      for (const Object& object : objects) {
        for (Operation operation : {Operation::kRead, Operation::kWrite}) {
          const Decision decision = snapshot.Decide(subject, object, operation);
          if (decision.allowed()) seen[static_cast<int>(decision.io)] = true;
        }
      }
    }
  }
  const bool promised = snapshot.UniformIo(Walk(snapshot, drawn.request));
  const bool found = seen[0] + seen[1] + seen[2] <= 1;
  ASSERT_FALSE(promised && !found) << drawn.ToString();
  ++tally.places;
  tally.promised += promised;
  tally.found += found;
}

TEST(PropertyTest, UniformPlacesAreUniform) {
  Dice dice(Seed() + 1);
  Tally lookup;
  Tally io;
  for (int i = 0; i < 400; ++i) {
    Case drawn;
    drawn.policy = DrawPolicy(dice);
    drawn.apps = DrawApps(dice);
    std::string why;
    const auto snapshot = Compile(drawn.policy, drawn.apps, &why);
    ASSERT_NE(snapshot, nullptr) << why;
    for (int k = 0; k < 15; ++k) {
      drawn.request = DrawRequest(dice, drawn.policy, drawn.apps);
      CheckLookup(dice, *snapshot, drawn, lookup);
      CheckIo(dice, *snapshot, drawn, io);
      if (HasFatalFailure()) return;
    }
  }
  std::cout << "lookup: " << lookup.promised << " of " << lookup.found
            << " uniform places are called so; io: " << io.promised << " of "
            << io.found << "\n";
  // Safe and useless would be to promise nothing.
  EXPECT_GT(lookup.promised, lookup.found / 4);
  EXPECT_GT(io.promised, io.found / 4);
}

TEST(PropertyTest, SubjectsOfPackagesAreThoseOfTheirUids) {
  Dice dice(Seed() + 2);
  for (int i = 0; i < 300; ++i) {
    const v1::Policy policy = DrawPolicy(dice);
    const v1::AppDirectory apps = DrawApps(dice);
    std::string why;
    const auto snapshot = Compile(policy, apps, &why);
    ASSERT_NE(snapshot, nullptr) << why;
    for (const v1::App& app : apps.apps()) {
      const auto by_name = snapshot->SubjectOfPackage(app.package(), 10);
      ASSERT_TRUE(by_name.has_value());
      const Subject by_uid = snapshot->SubjectOf(10 * 100000 + app.uid());
      EXPECT_EQ(by_name->word, by_uid.word);
      EXPECT_EQ(by_name->app, by_uid.app);
      EXPECT_EQ(by_name->row, by_uid.row);
      EXPECT_EQ(by_name->user, by_uid.user);
      EXPECT_TRUE(by_name->listed && by_uid.listed);
      EXPECT_EQ(snapshot->AppIdOf(app.package()), app.uid());
      const auto first =
          std::find_if(apps.apps().begin(), apps.apps().end(),
                       [&](const auto& a) { return a.uid() == app.uid(); });
      EXPECT_EQ(snapshot->PackageOf(by_uid.app), first->package());
      EXPECT_EQ(snapshot->AppOf(app.package(), app.uid()), by_uid.app);
      EXPECT_EQ(snapshot->AppOf(app.package(), app.uid() + 1), kNoApp);
    }
    EXPECT_EQ(snapshot->SubjectOfPackage("com.gone", 0), std::nullopt);
    EXPECT_FALSE(snapshot->SubjectOf(100000).listed);
    EXPECT_FALSE(snapshot->SubjectOf(102000).listed);
    EXPECT_TRUE(snapshot->SubjectOf(0).listed);
    EXPECT_TRUE(snapshot->SubjectOf(2000).listed);
  }
}

TEST(PropertyTest, NamesSayWhatTheyShould) {
  Dice dice(Seed() + 3);
  for (int i = 0; i < 200'000; ++i) {
    std::string name = DrawName(dice);
    if (dice.Chance(50)) {
      name[dice.Below(name.size())] = static_cast<char>(dice.Below(256));
    }
    // Controls above ASCII: neither text says whether they are some.
    if (name.find('\xc2') != std::string::npos) continue;
    EXPECT_EQ(FatClean(name), NaiveFatClean(name)) << name;
    if (name == "." || name == "..") continue;
    const uint32_t facts = NameFacts(name);
    EXPECT_EQ((facts & kFactPending) != 0, NaiveState(name, v1::PENDING))
        << name;
    EXPECT_EQ((facts & kFactTrashed) != 0, NaiveState(name, v1::TRASHED))
        << name;
    EXPECT_EQ((facts & kFactHidden) != 0, NaiveState(name, v1::HIDDEN)) << name;
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace fused::policy::oracle
