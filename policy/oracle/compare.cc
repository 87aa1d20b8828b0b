#include "policy/oracle/compare.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "policy/issue.h"
#include "policy/parse.h"

namespace fused::policy::oracle {
namespace {

std::string_view NameOf(const Request& request) {
  return request.path.empty() ? std::string_view() : request.path.back();
}

std::string Words(Error error, IoMode io, std::string_view rule) {
  constexpr std::string_view kErrors[] = {"allow", "ENOENT", "EACCES", "EPERM"};
  constexpr std::string_view kModes[] = {" passthrough", " daemon",
                                         " redacted"};
  std::string words(kErrors[static_cast<size_t>(error)]);
  if (error == Error::kNone) words += kModes[static_cast<size_t>(io)];
  return words + " by \"" + std::string(rule) + "\"";
}

std::string Words(const Verdict& verdict) {
  return Words(verdict.error, verdict.io, verdict.rule);
}

bool Same(const Verdict& want, const Decision& got, std::string_view rule) {
  return want.error == got.error && want.rule == rule &&
         (!got.allowed() || want.io == got.io);
}

std::string Compare(std::string_view what, const Verdict& want,
                    const Decision& got, std::string_view rule) {
  if (Same(want, got, rule)) return "";
  return std::string(what) + ": want " + Words(want) + ", got " +
         Words(got.error, got.io, rule) + "\n";
}

std::string CompareExplanation(const Snapshot& snapshot,
                               const Interpreter& interpreter,
                               const Subject& subject, const Object& object,
                               Request request) {
  if (request.operations.empty()) request.operations = {v1::LIST};
  request.operations.resize(1);
  const Explanation got = snapshot.Explain(
      subject, object,
      static_cast<Operation>(request.operations.front() - v1::LOOKUP));
  const CompiledPolicy& policy = snapshot.policy();
  std::string difference =
      Compare("Explain", interpreter.Decide(request), got.decision,
              policy.RuleName(got.decision.rule));
  const std::vector<Verdict> want = interpreter.Matches(request);
  bool same = want.size() == got.matches.size();
  for (size_t i = 0; same && i < want.size(); ++i) {
    const Match& match = got.matches[i];
    same = Same(want[i], match.decision, policy.RuleName(match.rule)) &&
           match.rule == match.decision.rule;
  }
  if (same) return difference;
  difference += "Explain, matches: want";
  for (const Verdict& verdict : want) difference += " " + Words(verdict);
  difference += ", got";
  for (const Match& match : got.matches) {
    difference += " " + Words(match.decision.error, match.decision.io,
                              policy.RuleName(match.rule));
  }
  return difference + "\n";
}

// Shadow rules have no names by number: only what they say is compared.
std::string CompareShadow(const Snapshot& snapshot,
                          const Interpreter& interpreter,
                          const Subject& subject, const Object& object,
                          const Request& request) {
  const std::optional<Verdict> want = interpreter.DecideShadow(request);
  const std::optional<Decision> got =
      snapshot.DecideShadow(subject, object, SetOf(request));
  if (want.has_value() != got.has_value()) {
    return got.has_value() ? "DecideShadow: without shadow rules\n"
                           : "DecideShadow: no answer\n";
  }
  if (!want.has_value()) return "";
  return Compare("DecideShadow", *want, *got, want->rule);
}

}  // namespace

std::string Case::ToString() const {
  std::ostringstream out;
  out << "# policy\n"
      << policy.DebugString() << "# apps\n"
      << apps.DebugString() << "# request\ncaller " << request.caller
      << ", tree of user " << request.tree << ", path \"";
  for (size_t i = 0; i < request.path.size(); ++i) {
    out << (i == 0 ? "" : "/") << request.path[i];
  }
  out << '"' << (request.directory ? ", directory" : "")
      << (request.nomedia ? ", below .nomedia" : "")
      << (request.granted ? ", granted" : "") << ", made by \""
      << request.owner_package << "\" " << request.owner_app_id
      << ", operations";
  for (v1::Operation operation : request.operations) {
    out << ' ' << v1::Operation_Name(operation);
  }
  out << '\n';
  return out.str();
}

std::shared_ptr<const Snapshot> Compile(const v1::Policy& policy,
                                        const v1::AppDirectory& apps,
                                        std::string* why) {
  Issues issues;
  Parsed<v1::Policy> parsed;
  parsed.message = policy;
  std::shared_ptr<const Snapshot> snapshot;
  if (auto compiled = CompiledPolicy::Compile(parsed, issues)) {
    Parsed<v1::AppDirectory> parsed_apps;
    parsed_apps.message = apps;
    snapshot = Snapshot::Build(1, std::move(compiled), parsed_apps, issues);
  }
  for (const Issue& issue : issues) {
    if (!issue.warning) *why += issue.ToString() + "\n";
  }
  return snapshot;
}

Location Walk(const Snapshot& snapshot, const Request& request) {
  Location location = snapshot.Root(request.tree);
  for (size_t i = 0; i < request.path.size(); ++i) {
    if (request.nomedia && i + 1 == request.path.size()) location.hidden = true;
    location = snapshot.Child(location, request.path[i]);
  }
  return location;
}

Object ObjectOf(const Snapshot& snapshot, const Request& request) {
  Object object = snapshot.ObjectAt(
      Walk(snapshot, request), NameOf(request), request.directory,
      snapshot.AppOf(request.owner_package, request.owner_app_id));
  if (request.granted) object.facts |= kFactGranted;
  return object;
}

OperationSet SetOf(const Request& request) {
  OperationSet set;
  for (v1::Operation operation : request.operations) {
    set = set | static_cast<Operation>(operation - v1::LOOKUP);
  }
  return set;
}

std::string Difference(const Snapshot& snapshot, const Interpreter& interpreter,
                       const Request& request, Depth depth) {
  const Subject subject = snapshot.SubjectOf(request.caller);
  const Object object = ObjectOf(snapshot, request);
  const CompiledPolicy& policy = snapshot.policy();
  const Decision decision = snapshot.Decide(subject, object, SetOf(request));
  std::string difference = Compare("Decide", interpreter.Decide(request),
                                   decision, policy.RuleName(decision.rule));
  if (depth == Depth::kDecide) return difference;

  const Location location = Walk(snapshot, request);
  const std::string_view path_class =
      policy.ClassName(snapshot.ClassOf(location));
  const std::string want_class = interpreter.ClassOf(request.path);
  if (path_class != want_class ||
      object.path_class != snapshot.ClassOf(location)) {
    difference +=
        "class: want " + want_class + ", got " + std::string(path_class) + "\n";
  }
  if (object.path_owner != snapshot.PathOwnerOf(location)) {
    difference += "PathOwnerOf and ObjectAt differ\n";
  }
  const Decision named =
      snapshot.DecideName(subject, object, SetOf(request), NameOf(request));
  if (!request.path.empty()) {
    difference += Compare("DecideName", interpreter.DecideName(request), named,
                          policy.RuleName(named.rule));
  }
  return difference +
         CompareExplanation(snapshot, interpreter, subject, object, request) +
         CompareShadow(snapshot, interpreter, subject, object, request);
}

std::string Difference(const Case& found) {
  std::string why;
  const auto snapshot = Compile(found.policy, found.apps, &why);
  if (snapshot == nullptr) return "";
  const Interpreter interpreter(found.policy, found.apps);
  return Difference(*snapshot, interpreter, found.request, Depth::kAll);
}

}  // namespace fused::policy::oracle
