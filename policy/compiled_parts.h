// What a policy is compiled to: shared by the engine and lint.
#ifndef FUSED_POLICY_COMPILED_PARTS_H_
#define FUSED_POLICY_COMPILED_PARTS_H_

#include <optional>

#include "policy/conditions.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/path_classes.h"
#include "policy/rules.h"
#include "policy/string_table.h"
#include "proto/policy.pb.h"

namespace fused::policy {

struct CompiledParts {
  PathClasses classes;
  StringTable extensions;  // folded, to the media types' bits
  Vocabulary vocabulary;
  RuleSet rules;
  std::optional<RuleSet> shadow;
};

// Nothing where it adds an error.
std::optional<CompiledParts> CompileParts(const Parsed<v1::Policy>& policy,
                                          Issues& issues);

}  // namespace fused::policy

#endif  // FUSED_POLICY_COMPILED_PARTS_H_
