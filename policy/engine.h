// Decides.
#ifndef FUSED_POLICY_ENGINE_H_
#define FUSED_POLICY_ENGINE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {

// One policy, compiled. Immutable.
class CompiledPolicy {
 public:
  // Nothing where `issues` got an error. Every issue is found, not only the
  // first.
  static std::shared_ptr<const CompiledPolicy> Compile(
      const Parsed<v1::Policy>& policy, Issues& issues);

  // policy/scoped_storage.textproto, version 0.
  static std::shared_ptr<const CompiledPolicy> BuiltIn();

  ~CompiledPolicy();

  const v1::Policy& source() const;
  const std::string& sha256() const;

  // "other" for kOtherClass.
  std::string_view ClassName(ClassId path_class) const;
  // The rule's name; "unlisted", "name" or "" for the ids that are no rule's.
  std::string_view RuleName(RuleId rule) const;

 private:
  friend class Snapshot;
  CompiledPolicy();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// One rule that matches.
struct Match {
  RuleId rule = kNoRule;
  Decision decision;
};

struct Explanation {
  Decision decision;
  // Every rule whose class, operation and condition match, in order.
  std::vector<Match> matches;
  // What is known of subject and object, as words: "permission:...",
  // "role:...", "relation:...", "media_type:...", "state:...", "directory".
  std::vector<std::string> facts;
};

// A policy and an app directory at one epoch. Immutable: every request uses
// one from start to end. Methods marked "hot" make no allocation, take no lock
// and do no I/O. Thread-safe.
class Snapshot {
 public:
  // Nothing where `issues` got an error. Never null arguments.
  static std::shared_ptr<const Snapshot> Build(
      uint64_t epoch, std::shared_ptr<const CompiledPolicy> policy,
      const Parsed<v1::AppDirectory>& apps, Issues& issues);

  // This one with an app directory that is changed, as a full build of that
  // directory would be; it shares with this one what is not changed, and costs
  // what is. All changes are made, in order, or there are issues, each at
  // "changes[N]" or, where they make more than a directory can be, "changes";
  // and null. Null without issues: there was nothing to change.
  std::shared_ptr<const Snapshot> WithChanges(
      uint64_t epoch, uint64_t apps_version,
      const std::vector<v1::AppChange>& changes, Issues& issues) const;

  // This one in another epoch.
  std::shared_ptr<const Snapshot> WithEpoch(uint64_t epoch) const;

  ~Snapshot();

  uint64_t epoch() const;
  const CompiledPolicy& policy() const;
  const std::shared_ptr<const CompiledPolicy>& shared_policy() const;
  uint64_t apps_version() const;
  // How many packages there are.
  size_t app_count() const;
  const std::vector<std::shared_ptr<const v1::Grant>>& grants() const;
  // The first call of these makes what they return.
  const v1::AppDirectory& apps() const;
  const std::string& apps_sha256() const;
  // Whether an app has the same AppIndex in both.
  bool SharesIndices(const Snapshot& other) const;

  // Hot. The subject that a caller is by its absolute uid: 0 is ROOT and 2000
  // SHELL; else the app id is uid % 100000 and the user uid / 100000, and
  // packages that share an app id are one subject, with the permissions and
  // roles of all and the newest target version. An app id in no entry is not
  // listed, and of target version 0 like ROOT and SHELL.
  Subject SubjectOf(uint32_t uid) const;

  // The subject of an installed package for a user.
  std::optional<Subject> SubjectOfPackage(std::string_view package,
                                          uint32_t user) const;
  // The app id of a package.
  std::optional<uint32_t> AppIdOf(std::string_view package) const;
  // Hot. The entry that has `package` with this app id: a file's recorded
  // owner. kNoApp where the pair is not in the directory.
  AppIndex AppOf(std::string_view package, uint32_t app_id) const;

  // One package of an entry (the first, of several that share a uid): what is
  // recorded as the owner of what it makes. Empty for kNoApp.
  std::string_view PackageOf(AppIndex app) const;

  // Hot. The root of a user's volume, and a component below a location.
  Location Root(uint32_t user) const;
  Location Child(const Location& parent, std::string_view name) const;

  // Hot. Whether a `.nomedia` in the directory at `location` hides what is
  // below it; and the location as it is where one does.
  bool NomediaHides(const Location& directory) const;
  static Location Hidden(Location directory) {
    directory.hidden = true;
    return directory;
  }

  // The names directly below `parent` that patterns tell apart from all others,
  // folded. A lower tree may find them by other spellings than Fold() knows.
  std::vector<std::string_view> NamesBelow(const Location& parent) const;

  // Hot. What stands at a location: `name` is its last component (empty for
  // the root), by which media types and states are told.
  Object ObjectAt(const Location& location, std::string_view name,
                  bool directory, AppIndex file_owner) const;

  // Hot. The decision on all of `operations` at once: where LOOKUP is denied,
  // ENOENT; else the first denied one's, in the order of Operation; else
  // allowed, with the strictest I/O mode that READ and WRITE gave (redaction
  // comes from READ) and the rule that gave it, READ's where both did; where
  // neither is asked for, the first operation's rule. A subject that is not
  // listed gets LOOKUP and LIST by the rules, and EACCES for the rest. Another
  // user's tree is ENOENT without a rule, but for ROOT and SHELL.
  Decision Decide(const Subject& subject, const Object& object,
                  OperationSet operations) const;

  // Hot. As Decide(), and where it allows, the class's demand on new names:
  // EPERM for one that FAT cannot hold.
  Decision DecideName(const Subject& subject, const Object& object,
                      OperationSet operations, std::string_view name) const;

  // Hot. Whether LOOKUP of what is at `location` has the same answer for every
  // subject of the same user, listed or not, whatever the object's facts: then
  // a name may be cached in a mount that all share.
  bool UniformLookup(const Location& location) const;

  // The same of LIST of a directory that is there, whatever its I/O mode.
  bool UniformList(const Location& location) const;

  // Hot. Whether READ and WRITE, where allowed, have the same I/O mode for
  // every subject and object at `location`.
  bool UniformIo(const Location& location) const;

  // Hot. The class of a location, and the app that its {package} names.
  ClassId ClassOf(const Location& location) const;
  AppIndex PathOwnerOf(const Location& location) const;

  // As Decide() on one operation, with reasons.
  Explanation Explain(const Subject& subject, const Object& object,
                      Operation operation) const;

  // Hot. For shadow rules: what they would decide; nothing where there are
  // none.
  std::optional<Decision> DecideShadow(const Subject& subject,
                                       const Object& object,
                                       OperationSet operations) const;

 private:
  friend class Changes;
  Snapshot();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fused::policy

#endif  // FUSED_POLICY_ENGINE_H_
