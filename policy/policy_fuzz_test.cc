// Policies as text or binary: parsed, compiled, linted, decided by.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/log/check.h"
#include "policy/engine.h"
#include "policy/fuzz_checks.h"
#include "policy/issue.h"
#include "policy/lint.h"
#include "policy/parse.h"
#include "proto/policy.pb.h"

namespace {

using namespace fused::policy;  // NOLINT(google-build-using-namespace)

const Parsed<v1::AppDirectory>& Apps() {
  static const auto* const apps = [] {
    Issues issues;
    auto parsed = ParseApps(
        "apps { package: 'a' uid: 10001 permissions: 'P' target_sdk: 30 }"
        "apps { package: 'b' uid: 10002 permissions: 'Q' roles: MANAGER }",
        "apps", issues);
    CHECK(parsed.has_value());
    return new Parsed<v1::AppDirectory>(*std::move(parsed));
  }();
  return *apps;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Issues issues;
  const auto parsed =
      ParsePolicy({reinterpret_cast<const char*>(data), size}, "fuzz", issues);
  CHECK(parsed.has_value() == !HasErrors(issues));
  if (!parsed) return 0;

  // What was read once is read again the same.
  const std::string bytes = parsed->message.SerializeAsString();
  const auto again = ParsePolicy(bytes, "fuzz", issues);
  CHECK(again.has_value());
  CHECK(Sha256(again->message) == Sha256(parsed->message));

  Issues lint;
  Lint(*parsed, lint);
  auto policy = CompiledPolicy::Compile(*parsed, issues);
  CHECK((policy != nullptr) == !HasErrors(issues));
  if (policy == nullptr) {
    CHECK(HasErrors(lint));
    return 0;
  }
  const auto snapshot = Snapshot::Build(1, std::move(policy), Apps(), issues);
  CHECK(snapshot != nullptr);
  CheckDecisions(*snapshot);
  return 0;
}
