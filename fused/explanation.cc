#include "fused/explanation.h"

#include <string>

namespace fused {
namespace {

const char* ErrorName(policy::Error error) {
  switch (error) {
    case policy::Error::kNone:
      return "";
    case policy::Error::kNoEntry:
      return "ENOENT";
    case policy::Error::kAccess:
      return "EACCES";
    case policy::Error::kNotPermitted:
      return "EPERM";
  }
  return "";
}

const char* IoName(const policy::Decision& decision) {
  if (!decision.allowed()) return "";
  switch (decision.io) {
    case policy::IoMode::kPassthrough:
      return "PASSTHROUGH";
    case policy::IoMode::kDaemon:
      return "DAEMON";
    case policy::IoMode::kRedacted:
      return "REDACTED";
  }
  return "";
}

const char* VerdictName(const policy::Decision& decision) {
  return decision.allowed() ? "ALLOW" : "DENY";
}

}  // namespace

control::v1::Explanation ExplanationProto(
    const policy::Explanation& explanation, const policy::Object& object,
    const policy::Snapshot& snapshot) {
  const policy::CompiledPolicy& policy = snapshot.policy();
  const policy::Decision& decision = explanation.decision;
  control::v1::Explanation out;
  out.set_verdict(VerdictName(decision));
  out.set_error(ErrorName(decision.error));
  out.set_io(IoName(decision));
  out.set_rule(std::string(policy.RuleName(decision.rule)));
  out.set_path_class(std::string(policy.ClassName(object.path_class)));
  for (const policy::Match& match : explanation.matches) {
    control::v1::RuleMatch& rule = *out.add_matches();
    rule.set_rule(std::string(policy.RuleName(match.rule)));
    rule.set_index(match.rule);
    rule.set_verdict(VerdictName(match.decision));
    rule.set_error(ErrorName(match.decision.error));
    rule.set_io(IoName(match.decision));
    if (match.decision.allowed() &&
        match.decision.io == policy::IoMode::kRedacted) {
      rule.set_redact("LOCATION");
    }
  }
  for (const std::string& fact : explanation.facts) out.add_facts(fact);
  return out;
}

}  // namespace fused
