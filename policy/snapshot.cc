#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/call_once.h"
#include "absl/strings/str_cat.h"
#include "policy/apps.h"
#include "policy/conditions.h"
#include "policy/decision_table.h"
#include "policy/engine.h"
#include "policy/engine_impl.h"
#include "policy/issue.h"
#include "policy/names.h"
#include "policy/parse.h"
#include "policy/path_classes.h"
#include "policy/rules.h"
#include "policy/string_table.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {
namespace {

constexpr uint32_t kRootUid = 0;
constexpr uint32_t kShellUid = 2000;

// More rows than this above a table are better put into it.
constexpr size_t kMostLaterRows = 64;

uint32_t AddRow(BaseRows& rows, uint64_t word, bool listed) {
  const auto [found, added] =
      rows.row_of.try_emplace(word, static_cast<uint32_t>(rows.rows.size()));
  if (added) rows.rows.push_back({word, false});
  rows.rows[found->second].listed |= listed;
  return found->second;
}

Subject NoApp(uint64_t word, bool listed, BaseRows& rows) {
  Subject subject;
  subject.word = word;
  subject.listed = listed;
  subject.row = AddRow(rows, word, listed);
  return subject;
}

}  // namespace

Snapshot::Snapshot() = default;
Snapshot::~Snapshot() = default;

std::shared_ptr<const Snapshot> Snapshot::Build(
    uint64_t epoch, std::shared_ptr<const CompiledPolicy> policy,
    const Parsed<v1::AppDirectory>& apps, Issues& issues) {
  const CompiledParts& parts = policy->impl_->parts;
  const Vocabulary& vocabulary = parts.vocabulary;
  std::optional<Apps> compiled = Apps::Compile(apps, vocabulary, issues);
  if (!compiled) return nullptr;

  auto rows = std::make_shared<BaseRows>();
  auto impl = std::make_unique<Impl>();
  const uint64_t no_sdk = vocabulary.TargetSdkBits(0);
  impl->unlisted = NoApp(no_sdk, false, *rows);
  impl->root = NoApp(no_sdk | vocabulary.RoleBit(v1::ROOT), true, *rows);
  impl->shell = NoApp(no_sdk | vocabulary.RoleBit(v1::SHELL), true, *rows);
  for (size_t i = 0; i < compiled->size(); ++i) {
    const auto app = static_cast<AppIndex>(i);
    compiled->SetRow(app, AddRow(*rows, compiled->entry(app).word, true));
  }
  if (rows->rows.size() * parts.rules.classes() > DecisionTable::kMaxCells) {
    issues.push_back(apps.source.At(
        "apps",
        absl::StrCat(rows->rows.size(),
                     " different sets of permissions and roles times ",
                     parts.rules.classes(), " path classes are more than ",
                     DecisionTable::kMaxCells)));
    return nullptr;
  }

  impl->epoch = epoch;
  impl->policy = std::move(policy);
  impl->parts = &parts;
  impl->apps = *std::move(compiled);
  const auto first = static_cast<uint32_t>(rows->rows.size());
  impl->table = {std::make_shared<DecisionTable>(parts.rules, rows->rows),
                 nullptr, first};
  if (parts.shadow) {
    impl->shadow = {std::make_shared<DecisionTable>(*parts.shadow, rows->rows),
                    nullptr, first};
  }
  impl->rows = std::move(rows);
  // The constructor is private, so std::make_shared cannot call it.
  std::shared_ptr<Snapshot> snapshot(new Snapshot());
  snapshot->impl_ = std::move(impl);
  return snapshot;
}

uint32_t Snapshot::Impl::RowOf(uint64_t word) {
  const auto found = rows->row_of.find(word);
  // What no app had until now is of nobody listed: to be looked at again.
  if (found != rows->row_of.end() && rows->rows[found->second].listed) {
    return found->second;
  }
  const auto base = static_cast<uint32_t>(rows->rows.size());
  for (size_t i = 0; i < later.size(); ++i) {
    if (later[i].word == word) return base + static_cast<uint32_t>(i);
  }
  later.push_back({word, true});
  return base + static_cast<uint32_t>(later.size() - 1);
}

void Snapshot::Impl::LayTables() {
  const auto first = static_cast<uint32_t>(rows->rows.size());
  table = {table.base(), std::make_shared<DecisionTable>(parts->rules, later),
           first};
  if (shadow) {
    shadow = {shadow->base(),
              std::make_shared<DecisionTable>(*parts->shadow, later), first};
  }
}

std::unique_ptr<Snapshot::Impl> Snapshot::Impl::Share() const {
  auto next = std::make_unique<Impl>();
  next->epoch = epoch;
  next->policy = policy;
  next->parts = parts;
  next->apps = apps;
  next->root = root;
  next->shell = shell;
  next->unlisted = unlisted;
  next->rows = rows;
  next->later = later;
  next->table = table;
  next->shadow = shadow;
  return next;
}

std::shared_ptr<const Snapshot> Snapshot::WithEpoch(uint64_t epoch) const {
  std::shared_ptr<Snapshot> snapshot(new Snapshot());
  snapshot->impl_ = impl_->Share();
  snapshot->impl_->epoch = epoch;
  return snapshot;
}

std::shared_ptr<const Snapshot> Snapshot::WithChanges(
    uint64_t epoch, uint64_t apps_version,
    const std::vector<v1::AppChange>& changes, Issues& issues) const {
  std::unique_ptr<Impl> next = impl_->Share();
  const size_t before = issues.size();
  const size_t bytes = next->apps.CountBytes();
  bool changed = false;
  std::vector<AppIndex> touched;
  for (size_t i = 0; i < changes.size(); ++i) {
    changed |=
        next->apps.Change(changes[i], impl_->parts->vocabulary,
                          absl::StrCat("changes[", i, "]"), touched, issues);
  }
  if (issues.size() != before || !changed) return nullptr;
  if (next->apps.CountBytes() > std::max(kMaxInput, bytes)) {
    Issue issue;
    issue.field = "changes";
    issue.reason = absl::StrCat("the directory would be larger than ",
                                kMaxInput, " bytes");
    issues.push_back(std::move(issue));
    return nullptr;
  }
  next->apps.set_version(apps_version);
  for (const AppIndex app : touched) {
    const Apps::Entry& entry = next->apps.entry(app);
    if (entry.places.empty()) continue;
    next->apps.SetRow(app, next->RowOf(entry.word));
  }
  if (next->apps.IsWorn() || next->later.size() > kMostLaterRows ||
      (next->later.size() != impl_->later.size() && !next->FitsTable())) {
    return Build(epoch, impl_->policy, {next->apps.ToMessage(), {}}, issues);
  }
  next->epoch = epoch;
  if (next->later.size() != impl_->later.size()) next->LayTables();
  std::shared_ptr<Snapshot> snapshot(new Snapshot());
  snapshot->impl_ = std::move(next);
  return snapshot;
}

bool Snapshot::SharesIndices(const Snapshot& other) const {
  return impl_->rows == other.impl_->rows;
}

uint64_t Snapshot::apps_version() const { return impl_->apps.version(); }
size_t Snapshot::app_count() const { return impl_->apps.count(); }
const std::vector<std::shared_ptr<const v1::Grant>>& Snapshot::grants() const {
  return impl_->apps.grants();
}

const v1::AppDirectory& Snapshot::apps() const {
  absl::call_once(impl_->source_once,
                  [this] { impl_->source = impl_->apps.ToMessage(); });
  return impl_->source;
}

const std::string& Snapshot::apps_sha256() const {
  absl::call_once(impl_->sha256_once,
                  [this] { impl_->sha256 = Sha256(apps()); });
  return impl_->sha256;
}

uint64_t Snapshot::epoch() const { return impl_->epoch; }
const CompiledPolicy& Snapshot::policy() const { return *impl_->policy; }
const std::shared_ptr<const CompiledPolicy>& Snapshot::shared_policy() const {
  return impl_->policy;
}

Subject Snapshot::SubjectOf(uint32_t uid) const {
  if (uid == kRootUid) return impl_->root;
  if (uid == kShellUid) return impl_->shell;
  Subject subject = impl_->unlisted;
  subject.user = uid / kUsersStride;
  const AppIndex app = impl_->apps.EntryOfId(uid % kUsersStride);
  if (app == kNoApp) return subject;
  const Apps::Entry& entry = impl_->apps.entry(app);
  subject.word = entry.word;
  subject.app = app;
  subject.row = entry.row;
  subject.listed = true;
  return subject;
}

std::optional<Subject> Snapshot::SubjectOfPackage(std::string_view package,
                                                  uint32_t user) const {
  const AppIndex app = impl_->apps.EntryOfPackage(package);
  if (app == kNoApp) return std::nullopt;
  const Apps::Entry& entry = impl_->apps.entry(app);
  Subject subject;
  subject.word = entry.word;
  subject.app = app;
  subject.row = entry.row;
  subject.user = user;
  subject.listed = true;
  return subject;
}

std::optional<uint32_t> Snapshot::AppIdOf(std::string_view package) const {
  const AppIndex app = impl_->apps.EntryOfPackage(package);
  if (app == kNoApp) return std::nullopt;
  return impl_->apps.entry(app).app_id;
}

AppIndex Snapshot::AppOf(std::string_view package, uint32_t app_id) const {
  const AppIndex app = impl_->apps.EntryOfPackage(package);
  if (app == kNoApp || impl_->apps.entry(app).app_id != app_id) return kNoApp;
  return app;
}

std::string_view Snapshot::PackageOf(AppIndex app) const {
  if (app < 0 || static_cast<size_t>(app) >= impl_->apps.size()) return {};
  return impl_->apps.entry(app).package;
}

Location Snapshot::Root(uint32_t user) const {
  Location location;
  location.state = PathClasses::kRoot;
  location.user = user;
  return location;
}

Location Snapshot::Child(const Location& parent, std::string_view name) const {
  Location child = parent;
  if (child.depth != 0xff) ++child.depth;
  const uint32_t facts = NameFacts(name);
  child.hidden = parent.hidden || parent.dotted || (facts & kFactHidden) != 0;
  child.dotted = (facts & (kFactPending | kFactTrashed)) != 0;
  const PathClasses::State& state = impl_->StateOf(parent);
  if (!state.reads_name()) {
    child.state = state.otherwise;
    return child;
  }
  const FoldedName folded(name);
  child.state = impl_->parts->classes.Next(state, folded.view());
  if (state.capture_slot >= 0) {
    child.capture[state.capture_slot] =
        impl_->apps.EntryOfFolded(folded.view());
  }
  return child;
}

std::vector<std::string_view> Snapshot::NamesBelow(
    const Location& parent) const {
  return impl_->parts->classes.NamesBelow(impl_->StateOf(parent));
}

bool Snapshot::NomediaHides(const Location& directory) const {
  return impl_->parts->classes.nomedia_hides(
      ClassOf(Child(directory, kNomedia)));
}

Object Snapshot::ObjectAt(const Location& location, std::string_view name,
                          bool directory, AppIndex file_owner) const {
  Object object;
  object.path_class = ClassOf(location);
  object.path_owner = PathOwnerOf(location);
  object.file_owner = file_owner;
  object.user = location.user;
  object.facts = NameFacts(name) & (kFactPending | kFactTrashed);
  if (location.hidden) object.facts |= kFactHidden;
  if (directory) {
    object.facts |= kFactDirectory;
    return object;
  }
  const std::string_view extension = Extension(name);
  if (!extension.empty()) {
    const uint32_t types =
        impl_->parts->extensions.Find(FoldedName(extension).view());
    if (types != StringTable::kNone) object.facts |= types;
  }
  return object;
}

Decision Snapshot::Impl::Decide(const RuleSet& rules,
                                const LayeredTable& decisions,
                                const Subject& subject, const Object& object,
                                OperationSet operations) const {
  if (IsForeign(subject, object)) {
    return {Error::kNoEntry, IoMode::kDaemon, kNoRule};
  }
  const size_t path_class = rules.ClassIndex(object.path_class);
  const uint64_t word = ObjectWord(subject, object);
  Decision result = decisions.Decide(subject.row, subject.word, path_class,
                                     Operation::kLookup, word);
  if (!result.allowed()) return result;
  constexpr uint32_t kForAll =
      (OperationSet(Operation::kLookup) | OperationSet(Operation::kList))
          .bits();
  constexpr uint32_t kIo =
      (OperationSet(Operation::kRead) | OperationSet(Operation::kWrite)).bits();
  // Whether `result` is of an operation asked for, and whether of one that has
  // an I/O mode.
  bool asked = operations.Has(Operation::kLookup);
  bool has_io = false;
  uint32_t left = operations.bits() & ((1u << kOperations) - 1);
  left &= ~OperationSet(Operation::kLookup).bits();
  for (; left != 0; left &= left - 1) {
    const int bit = std::countr_zero(left);
    if (!subject.listed && (kForAll >> bit & 1) == 0) {
      return {Error::kAccess, IoMode::kDaemon, kUnlistedRule};
    }
    const Decision decision =
        decisions.Decide(subject.row, subject.word, path_class,
                         static_cast<Operation>(bit), word);
    if (!decision.allowed()) return decision;
    const bool is_io = (kIo >> bit & 1) != 0;
    if (!asked || (is_io && (!has_io || decision.io > result.io))) {
      result = decision;
    }
    asked = true;
    has_io |= is_io;
  }
  return result;
}

Decision Snapshot::Decide(const Subject& subject, const Object& object,
                          OperationSet operations) const {
  return impl_->Decide(impl_->parts->rules, impl_->table, subject, object,
                       operations);
}

Decision Snapshot::DecideName(const Subject& subject, const Object& object,
                              OperationSet operations,
                              std::string_view name) const {
  const Decision decision = Decide(subject, object, operations);
  if (decision.allowed() &&
      impl_->parts->classes.demands_fat(object.path_class) && !FatClean(name)) {
    return {Error::kNotPermitted, IoMode::kDaemon, kNameRule};
  }
  return decision;
}

bool Snapshot::UniformLookup(const Location& location) const {
  return impl_->table.UniformLookup(
      impl_->parts->rules.ClassIndex(ClassOf(location)));
}

bool Snapshot::UniformList(const Location& location) const {
  return impl_->table.UniformList(
      impl_->parts->rules.ClassIndex(ClassOf(location)));
}

bool Snapshot::UniformIo(const Location& location) const {
  return impl_->table.UniformIo(
      impl_->parts->rules.ClassIndex(ClassOf(location)));
}

ClassId Snapshot::ClassOf(const Location& location) const {
  return impl_->StateOf(location).path_class;
}

AppIndex Snapshot::PathOwnerOf(const Location& location) const {
  const int8_t slot = impl_->StateOf(location).owner_slot;
  return slot < 0 ? kNoApp : location.capture[slot];
}

std::optional<Decision> Snapshot::DecideShadow(const Subject& subject,
                                               const Object& object,
                                               OperationSet operations) const {
  if (!impl_->shadow) return std::nullopt;
  return impl_->Decide(*impl_->parts->shadow, *impl_->shadow, subject, object,
                       operations);
}

}  // namespace fused::policy
