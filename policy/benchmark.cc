// What a decision costs, what a lookup step costs, and what compiling costs,
// with as many apps, path classes and rules as a device may have.
//
//   ./bazelw run //policy:benchmark

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/log/check.h"
#include "absl/strings/str_cat.h"
#include "policy/engine.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace {

std::atomic<uint64_t> allocations = 0;

void* Allocate(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* const memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

void* operator new(size_t size) { return Allocate(size); }
void* operator new[](size_t size) { return Allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t /*size*/) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, size_t /*size*/) noexcept {
  std::free(memory);
}

namespace fused::policy {
namespace {

constexpr int kApps = 1000;
constexpr int kClasses = 40;
constexpr int kRules = 200;
constexpr int kPermissions = 30;

using Random = std::mt19937;

uint32_t Below(Random& random, uint32_t n) { return random() % n; }

v1::Condition RandomCondition(Random& random, int depth) {
  v1::Condition condition;
  const uint32_t kind = Below(random, depth > 0 ? 9 : 6);
  switch (kind) {
    case 0:
    case 1:
      condition.set_permission(absl::StrCat("P", Below(random, kPermissions)));
      break;
    case 2:
      condition.set_role(static_cast<v1::Role>(1 + Below(random, 7)));
      break;
    case 3:
      condition.set_relation(static_cast<v1::Relation>(1 + Below(random, 2)));
      break;
    case 4:
      condition.set_media_type(absl::StrCat("T", Below(random, 5)));
      break;
    case 5:
      condition.set_state(static_cast<v1::FileState>(1 + Below(random, 3)));
      break;
    case 6:
      *condition.mutable_not_() = RandomCondition(random, depth - 1);
      break;
    default: {
      v1::Condition::List* const list =
          kind == 7 ? condition.mutable_all_of() : condition.mutable_any_of();
      for (uint32_t i = 0; i < 2 + Below(random, 2); ++i) {
        *list->add_conditions() = RandomCondition(random, depth - 1);
      }
    }
  }
  return condition;
}

Parsed<v1::Policy> MakePolicy() {
  Random random(1);
  Parsed<v1::Policy> parsed;
  v1::Policy& policy = parsed.message;
  for (int i = 0; i < 5; ++i) {
    v1::MediaType* const type = policy.add_media_types();
    type->set_name(absl::StrCat("T", i));
    for (int j = 0; j < 10; ++j) {
      type->add_extensions(absl::StrCat("e", i, j));
    }
  }
  for (int i = 0; i < kClasses; ++i) {
    v1::PathClass* const path_class = policy.add_path_classes();
    path_class->set_name(absl::StrCat("C", i));
    path_class->add_patterns(
        i % 4 == 0 ? absl::StrCat("Android/kind", i, "/{package}/**")
                   : absl::StrCat("Collection", i, "/**"));
  }
  for (int i = 0; i < kRules; ++i) {
    v1::Rule* const rule = policy.add_rules();
    rule->set_name(absl::StrCat("R", i));
    for (uint32_t j = 0; j < Below(random, 5); ++j) {
      rule->add_path_classes(absl::StrCat("C", Below(random, kClasses)));
    }
    for (uint32_t j = 0; j < 1 + Below(random, 5); ++j) {
      rule->add_operations(static_cast<v1::Operation>(2 + Below(random, 16)));
    }
    if (i < kRules - 20) *rule->mutable_when() = RandomCondition(random, 3);
    if (Below(random, 3) == 0) {
      rule->mutable_effect()->mutable_deny();
    } else {
      rule->mutable_effect()->mutable_allow();
    }
  }
  return parsed;
}

Parsed<v1::AppDirectory> MakeApps() {
  Random random(2);
  Parsed<v1::AppDirectory> parsed;
  for (int i = 0; i < kApps; ++i) {
    v1::App* const app = parsed.message.add_apps();
    app->set_package(absl::StrCat("com.example.app", i));
    app->set_uid(10000 + static_cast<uint32_t>(i));
    app->set_target_sdk(20 + static_cast<int>(Below(random, 16)));
    for (int j = 0; j < kPermissions; ++j) {
      if (Below(random, 3) == 0) app->add_permissions(absl::StrCat("P", j));
    }
    if (Below(random, 50) == 0) {
      app->add_roles(static_cast<v1::Role>(1 + Below(random, 5)));
    }
  }
  return parsed;
}

std::shared_ptr<const Snapshot> MakeSnapshot() {
  Issues issues;
  auto policy = CompiledPolicy::Compile(MakePolicy(), issues);
  CHECK(policy != nullptr) << issues.front().ToString();
  auto snapshot = Snapshot::Build(1, std::move(policy), MakeApps(), issues);
  CHECK(snapshot != nullptr) << issues.front().ToString();
  return snapshot;
}

struct Request {
  Subject subject;
  Object object;
  OperationSet operations;
  Location parent;
  std::string name;
};

std::vector<Request> MakeRequests(const Snapshot& snapshot) {
  Random random(3);
  std::vector<Request> requests(1 << 14);
  for (Request& request : requests) {
    request.subject = snapshot.SubjectOf(10000 + Below(random, kApps));
    const uint32_t path_class = Below(random, kClasses);
    Location location = snapshot.Root(0);
    if (path_class % 4 == 0) {
      location = snapshot.Child(location, "Android");
      location = snapshot.Child(location, absl::StrCat("kind", path_class));
      request.parent = location;
      request.name = absl::StrCat("com.example.app", Below(random, kApps));
      location = snapshot.Child(location, request.name);
    } else {
      request.parent = location;
      request.name = absl::StrCat("Collection", path_class);
      location = snapshot.Child(location, request.name);
    }
    const std::string file = absl::StrCat("IMG_20240101_120000.e",
                                          Below(random, 5), Below(random, 10));
    location = snapshot.Child(location, file);
    request.object =
        snapshot.ObjectAt(location, file, false,
                          Below(random, 4) == 0 ? request.subject.app : kNoApp);
    request.operations =
        Below(random, 2) == 0
            ? OperationSet(Operation::kRead)
            : OperationSet(Operation::kRead) | Operation::kWrite;
  }
  return requests;
}

// Runs `step` on each request in turn. Reports the median of the means of 64
// calls each, and the allocations of all calls.
template <typename Step>
void Measure(benchmark::State& state, Step step) {
  constexpr size_t kBatch = 64;
  const auto snapshot = MakeSnapshot();
  const std::vector<Request> requests = MakeRequests(*snapshot);
  std::vector<double> nanoseconds;
  nanoseconds.reserve(1 << 24);
  size_t at = 0;
  uint64_t allocated = 0;
  while (state.KeepRunningBatch(kBatch)) {
    const uint64_t before = allocations.load(std::memory_order_relaxed);
    const auto start = std::chrono::steady_clock::now();
    for (size_t i = 0; i < kBatch; ++i) {
      benchmark::DoNotOptimize(step(*snapshot, requests[at + i]));
    }
    const std::chrono::duration<double, std::nano> took =
        std::chrono::steady_clock::now() - start;
    allocated += allocations.load(std::memory_order_relaxed) - before;
    at = (at + kBatch) % requests.size();
    if (nanoseconds.size() < nanoseconds.capacity()) {
      nanoseconds.push_back(took.count() / kBatch);
    }
  }
  const auto middle =
      nanoseconds.begin() + static_cast<ptrdiff_t>(nanoseconds.size() / 2);
  std::nth_element(nanoseconds.begin(), middle, nanoseconds.end());
  state.counters["median_ns"] = *middle;
  state.counters["allocations"] = static_cast<double>(allocated);
}

void BM_Decide(benchmark::State& state) {
  Measure(state, [](const Snapshot& snapshot, const Request& request) {
    return snapshot.Decide(request.subject, request.object, request.operations);
  });
}
BENCHMARK(BM_Decide);

void BM_Lookup(benchmark::State& state) {
  Measure(state, [](const Snapshot& snapshot, const Request& request) {
    const Location child = snapshot.Child(request.parent, request.name);
    return snapshot.Decide(request.subject,
                           snapshot.ObjectAt(child, request.name, true, kNoApp),
                           Operation::kLookup);
  });
}
BENCHMARK(BM_Lookup);

void BM_Compile(benchmark::State& state) {
  const Parsed<v1::Policy> policy = MakePolicy();
  const Parsed<v1::AppDirectory> apps = MakeApps();
  std::vector<double> milliseconds;
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    Issues issues;
    benchmark::DoNotOptimize(Snapshot::Build(
        1, CompiledPolicy::Compile(policy, issues), apps, issues));
    const std::chrono::duration<double, std::milli> took =
        std::chrono::steady_clock::now() - start;
    milliseconds.push_back(took.count());
  }
  const auto middle =
      milliseconds.begin() + static_cast<ptrdiff_t>(milliseconds.size() / 2);
  std::nth_element(milliseconds.begin(), middle, milliseconds.end());
  state.counters["median_ms"] = *middle;
}
BENCHMARK(BM_Compile)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace fused::policy

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  std::printf("%d apps, %d path classes, %d rules\n", fused::policy::kApps,
              fused::policy::kClasses, fused::policy::kRules);
  std::fflush(stdout);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
