#include "fused/control/convert.h"

#include <string>

namespace fused::control {
namespace {

// The engine's operations are in the order of the message's, LOOKUP first.
static_assert(static_cast<int>(policy::Operation::kMknod) ==
              policy::v1::MKNOD - policy::v1::LOOKUP);
static_assert(policy::kOperations ==
              policy::v1::MKNOD - policy::v1::LOOKUP + 1);

std::string Verdict(const policy::Decision& decision) {
  return decision.allowed() ? "ALLOW" : "DENY";
}

}  // namespace

std::optional<policy::Operation> OperationOf(policy::v1::Operation operation) {
  if (operation < policy::v1::LOOKUP || operation > policy::v1::MKNOD) {
    return std::nullopt;
  }
  return static_cast<policy::Operation>(operation - policy::v1::LOOKUP);
}

std::string_view NameOf(policy::Error error) {
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

std::string_view NameOf(policy::IoMode io) {
  switch (io) {
    case policy::IoMode::kPassthrough:
      return "PASSTHROUGH";
    case policy::IoMode::kDaemon:
      return "DAEMON";
    case policy::IoMode::kRedacted:
      return "REDACTED";
  }
  return "";
}

v1::Issue ToMessage(const policy::Issue& issue) {
  v1::Issue message;
  message.set_file(issue.file);
  message.set_line(static_cast<uint32_t>(issue.line));
  message.set_column(static_cast<uint32_t>(issue.column));
  message.set_field(issue.field);
  message.set_reason(issue.reason);
  message.set_warning(issue.warning);
  return message;
}

void AddIssues(const policy::Issues& issues, v1::PushResponse& response) {
  for (const policy::Issue& issue : issues) {
    *response.add_issues() = ToMessage(issue);
  }
}

policy::Issue FromMessage(const v1::Issue& issue) {
  return {.file = issue.file(),
          .line = static_cast<int>(issue.line()),
          .column = static_cast<int>(issue.column()),
          .field = issue.field(),
          .reason = issue.reason(),
          .warning = issue.warning()};
}

v1::Explanation ToMessage(const policy::Snapshot& snapshot,
                          const policy::Object& object,
                          const policy::Explanation& explanation) {
  const policy::CompiledPolicy& policy = snapshot.policy();
  const policy::Decision& decision = explanation.decision;
  v1::Explanation message;
  message.set_verdict(Verdict(decision));
  message.set_error(std::string(NameOf(decision.error)));
  if (decision.allowed()) message.set_io(std::string(NameOf(decision.io)));
  message.set_rule(std::string(policy.RuleName(decision.rule)));
  message.set_path_class(std::string(policy.ClassName(object.path_class)));
  for (const policy::Match& match : explanation.matches) {
    v1::RuleMatch& one = *message.add_matches();
    one.set_rule(std::string(policy.RuleName(match.rule)));
    one.set_index(match.rule);
    one.set_verdict(Verdict(match.decision));
    one.set_error(std::string(NameOf(match.decision.error)));
    if (!match.decision.allowed()) continue;
    one.set_io(std::string(NameOf(match.decision.io)));
    if (match.decision.io == policy::IoMode::kRedacted) {
      one.set_redact("LOCATION");
    }
  }
  for (const std::string& fact : explanation.facts) message.add_facts(fact);
  return message;
}

v1::DecisionChange ToMessage(const policy::Difference& difference) {
  v1::DecisionChange out;
  out.mutable_callers()->Add(difference.callers.begin(),
                             difference.callers.end());
  out.mutable_path_classes()->Add(difference.path_classes.begin(),
                                  difference.path_classes.end());
  out.set_path(difference.path);
  for (int op = 0; op < policy::kOperations; ++op) {
    if (!difference.operations.Has(static_cast<policy::Operation>(op))) {
      continue;
    }
    out.add_operations(policy::v1::Operation_Name(
        static_cast<policy::v1::Operation>(policy::v1::LOOKUP + op)));
  }
  out.mutable_objects()->Add(difference.objects.begin(),
                             difference.objects.end());
  out.set_before(difference.Before());
  out.set_after(difference.After());
  return out;
}

v1::DiffResult ToMessage(const policy::DiffResult& result) {
  v1::DiffResult out;
  for (const policy::Difference& difference : result.differences) {
    *out.add_changes() = ToMessage(difference);
  }
  out.set_complete(result.complete);
  return out;
}

}  // namespace fused::control
