// App directories as text or binary, under the built-in policy.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/log/check.h"
#include "policy/engine.h"
#include "policy/fuzz_checks.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fused::policy;  // NOLINT(google-build-using-namespace)
  Issues issues;
  const auto parsed =
      ParseApps({reinterpret_cast<const char*>(data), size}, "fuzz", issues);
  CHECK(parsed.has_value() == !HasErrors(issues));
  if (!parsed) return 0;
  const auto snapshot =
      Snapshot::Build(1, CompiledPolicy::BuiltIn(), *parsed, issues);
  CHECK((snapshot != nullptr) == !HasErrors(issues));
  if (snapshot == nullptr) return 0;
  for (const v1::App& app : parsed->message.apps()) {
    const AppIndex index = snapshot->AppOf(app.package(), app.uid());
    CHECK(index != kNoApp);
    CHECK(snapshot->SubjectOf(app.uid()).app == index);
    CHECK(snapshot->SubjectOfPackage(app.package(), 3)->app == index);
    CHECK(snapshot->AppIdOf(app.package()) == app.uid());
  }
  CheckDecisions(*snapshot);
  return 0;
}
