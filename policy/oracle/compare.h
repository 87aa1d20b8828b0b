// Holds the engine's answers against the interpreter's.
#ifndef FUSED_POLICY_ORACLE_COMPARE_H_
#define FUSED_POLICY_ORACLE_COMPARE_H_

#include <memory>
#include <string>

#include "policy/engine.h"
#include "policy/oracle/interpreter.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy::oracle {

// All that an answer depends on.
struct Case {
  v1::Policy policy;
  v1::AppDirectory apps;
  Request request;

  std::string ToString() const;
};

// Nothing where the engine refuses; then `why` lists its issues.
std::shared_ptr<const Snapshot> Compile(const v1::Policy& policy,
                                        const v1::AppDirectory& apps,
                                        std::string* why);

// Where the path of a request ends, and what stands there.
Location Walk(const Snapshot& snapshot, const Request& request);
Object ObjectOf(const Snapshot& snapshot, const Request& request);

// The v1 operations as the engine's set.
OperationSet SetOf(const Request& request);

enum class Depth { kDecide, kAll };

// What the engine answers to the request otherwise than the interpreter; empty
// where nothing. kDecide: the decision alone; kAll: also names, explanations
// and shadow rules.
std::string Difference(const Snapshot& snapshot, const Interpreter& interpreter,
                       const Request& request, Depth depth);

// The same for a case, compiled for it; empty too where it does not compile.
std::string Difference(const Case& found);

// A smaller case that differs still.
Case Shrink(Case found);

}  // namespace fused::policy::oracle

#endif  // FUSED_POLICY_ORACLE_COMPARE_H_
