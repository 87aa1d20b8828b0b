#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/log/check.h"
#include "policy/builtin.h"
#include "policy/compiled_parts.h"
#include "policy/engine.h"
#include "policy/engine_impl.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {

CompiledPolicy::CompiledPolicy() = default;
CompiledPolicy::~CompiledPolicy() = default;

std::shared_ptr<const CompiledPolicy> CompiledPolicy::Compile(
    const Parsed<v1::Policy>& policy, Issues& issues) {
  std::optional<CompiledParts> parts = CompileParts(policy, issues);
  if (!parts) return nullptr;
  // The constructor is private, so std::make_shared cannot call it.
  std::shared_ptr<CompiledPolicy> compiled(new CompiledPolicy());
  compiled->impl_ = std::make_unique<Impl>(
      Impl{policy.message, Sha256(policy.message), *std::move(parts)});
  return compiled;
}

std::shared_ptr<const CompiledPolicy> CompiledPolicy::BuiltIn() {
  static const auto* const built_in = [] {
    Issues issues;
    const std::optional<Parsed<v1::Policy>> policy =
        ParsePolicy(kScopedStorage, "scoped_storage.textproto", issues);
    std::shared_ptr<const CompiledPolicy> compiled =
        policy ? Compile(*policy, issues) : nullptr;
    CHECK(compiled != nullptr) << issues.front().ToString();
    return new std::shared_ptr<const CompiledPolicy>(std::move(compiled));
  }();
  return *built_in;
}

const v1::Policy& CompiledPolicy::source() const { return impl_->source; }
const std::string& CompiledPolicy::sha256() const { return impl_->sha256; }

std::string_view CompiledPolicy::ClassName(ClassId path_class) const {
  return impl_->parts.classes.NameOf(path_class);
}

std::string_view CompiledPolicy::RuleName(RuleId rule) const {
  if (rule == kUnlistedRule) return "unlisted";
  if (rule == kNameRule) return "name";
  if (rule >= impl_->source.rules_size()) return "";
  return impl_->source.rules(rule).name();
}

}  // namespace fused::policy
