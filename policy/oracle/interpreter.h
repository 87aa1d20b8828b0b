// Decides as the engine does, and as slowly as the words of the design can be
// followed: no compiling, no bits, strings all the way. What the engine's
// answers are compared with.
#ifndef FUSED_POLICY_ORACLE_INTERPRETER_H_
#define FUSED_POLICY_ORACLE_INTERPRETER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy::oracle {

// One question, in plain values that belong to no policy.
struct Request {
  // The absolute uid of the caller.
  uint32_t caller = 0;
  // Whose tree the path lies in.
  uint32_t tree = 0;
  // Components, relative to the root of that user's volume; empty for it.
  std::vector<std::string> path;
  bool directory = false;
  // The directory that holds it, or one above, has a `.nomedia`.
  bool nomedia = false;
  // Who made it: both as recorded, known to the app directory or not.
  std::string owner_package;
  uint32_t owner_app_id = 0;
  bool granted = false;
  std::vector<v1::Operation> operations;
};

struct Verdict {
  Error error = Error::kAccess;
  // Of an allowed one.
  IoMode io = IoMode::kPassthrough;
  // "" stands for no rule.
  std::string rule;
};

// Keeps references to its arguments.
class Interpreter {
 public:
  Interpreter(const v1::Policy& policy, const v1::AppDirectory& apps)
      : policy_(policy), apps_(apps) {}

  Verdict Decide(const Request& request) const;
  // By the shadow rules; nothing where there are none.
  std::optional<Verdict> DecideShadow(const Request& request) const;
  // With what the class demands of the last component as a new name.
  Verdict DecideName(const Request& request) const;
  // Of every rule that matches the one operation of the request, in order.
  std::vector<Verdict> Matches(const Request& request) const;

  std::string ClassOf(const std::vector<std::string>& path) const;

 private:
  using Rules = google::protobuf::RepeatedPtrField<v1::Rule>;
  struct Caller;
  struct Place;

  Caller Know(uint32_t uid) const;
  Place Find(const std::vector<std::string>& path) const;
  bool Owns(const Caller& caller, const Place& place, const Request& request,
            v1::Relation relation) const;
  bool Holds(const v1::Condition& condition, const Caller& caller,
             const Place& place, const Request& request) const;
  bool HasMediaType(std::string_view type, const Request& request) const;
  bool Applies(const v1::Rule& rule, v1::Operation operation,
               const Caller& caller, const Place& place,
               const Request& request) const;
  Verdict DecideOne(const Rules& rules, v1::Operation operation,
                    const Caller& caller, const Place& place,
                    const Request& request) const;
  Verdict DecideBy(const Rules& rules, const Request& request) const;

  const v1::Policy& policy_;
  const v1::AppDirectory& apps_;
};

// As policy::FatClean and policy::NameFacts say, written again.
bool NaiveFatClean(std::string_view name);
bool NaiveState(std::string_view name, v1::FileState state);

}  // namespace fused::policy::oracle

#endif  // FUSED_POLICY_ORACLE_INTERPRETER_H_
