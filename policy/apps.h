// An app directory, as the engine asks it.
#ifndef FUSED_POLICY_APPS_H_
#define FUSED_POLICY_APPS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "policy/chunks.h"
#include "policy/conditions.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "policy/string_table.h"
#include "policy/types.h"
#include "proto/policy.pb.h"

namespace fused::policy {

inline constexpr uint32_t kUsersStride = 100000;
inline constexpr size_t kMaxApps = 100000;
inline constexpr size_t kMaxGrants = 1 << 20;

// Names to places: a table that many directories share, and what is other than
// in it. Immutable but for Set().
class NameMap {
 public:
  NameMap() = default;
  explicit NameMap(const std::vector<std::pair<std::string, uint32_t>>& entries)
      : base_(std::make_shared<const StringTable>(entries)) {}

  // StringTable::kNone where there is none. No allocation.
  uint32_t Find(std::string_view name) const {
    if (changed_ != nullptr) {
      const auto found = changed_->find(name);
      if (found != changed_->end()) return found->second;
    }
    return base_ == nullptr ? StringTable::kNone : base_->Find(name);
  }
  // kNone takes it away. Costs as much as there is changed already.
  void Set(std::string_view name, uint32_t value);
  size_t changed() const { return changed_ == nullptr ? 0 : changed_->size(); }

 private:
  using Changed = absl::flat_hash_map<std::string, uint32_t>;
  std::shared_ptr<const StringTable> base_;
  std::shared_ptr<const Changed> changed_;
};

// The directory as it was given, and compiled. A copy shares nearly all with
// what it was copied from. Immutable once it is shared.
class Apps {
 public:
  // The packages that share an app id.
  struct Entry {
    uint32_t app_id = 0;
    uint64_t word = 0;
    uint32_t row = 0;
    // Of the first, and where each stands in the directory. None: a place that
    // nobody has any more.
    std::string_view package;
    std::vector<uint32_t> places;
  };
  using GrantList = std::vector<std::shared_ptr<const v1::Grant>>;

  // Nothing where it adds an error.
  static std::optional<Apps> Compile(const Parsed<v1::AppDirectory>& apps,
                                     const Vocabulary& vocabulary,
                                     Issues& issues);

  // No allocation.
  AppIndex EntryOfId(uint32_t app_id) const {
    return app_id < entry_of_id_.size() ? entry_of_id_[app_id] : kNoApp;
  }
  AppIndex EntryOfPackage(std::string_view package) const {
    return EntryAt(packages_.Find(package));
  }
  AppIndex EntryOfFolded(std::string_view package) const {
    return EntryAt(folded_packages_.Find(package));
  }

  // Entries, those that nobody has any more included.
  size_t size() const { return entries_.size(); }
  const Entry& entry(AppIndex app) const {
    return entries_[static_cast<size_t>(app)];
  }
  void SetRow(AppIndex app, uint32_t row) {
    entries_.Mutable(static_cast<size_t>(app)).row = row;
  }

  uint64_t version() const { return version_; }
  void set_version(uint64_t version) { version_ = version; }
  // Of packages.
  size_t count() const { return count_; }
  const GrantList& grants() const { return *grants_; }
  v1::AppDirectory ToMessage() const;
  // About what ToMessage() is as bytes, not less. Once it was called, changes
  // keep the count.
  size_t CountBytes();

  // Makes one change. False: there was nothing to change. What is wrong is an
  // issue at `field`, and changes nothing. `touched` gets the entries whose
  // words may be others now.
  bool Change(const v1::AppChange& change, const Vocabulary& vocabulary,
              const std::string& field, std::vector<AppIndex>& touched,
              Issues& issues);
  // Whether so much was changed that it is better compiled anew.
  bool IsWorn() const;

  // Calls `differs` for what stands at a place in one and is not the same
  // object in the other; null where there is nothing. Does not look at what the
  // two share.
  static void Compare(
      const Apps& before, const Apps& after,
      const std::function<void(const v1::App*, const v1::App*)>& differs);

 private:
  friend class AppsBuilder;

  struct Place {
    std::shared_ptr<const v1::App> app;  // null: nothing any more
    AppIndex entry = kNoApp;
  };

  AppIndex EntryAt(uint32_t place) const {
    return place == StringTable::kNone ? kNoApp : places_[place].entry;
  }
  // Puts an app at a place, which nothing stands at; takes away what stands at
  // one. Return the entry, whose word is to be refreshed.
  AppIndex Join(uint32_t place, std::shared_ptr<const v1::App> app);
  AppIndex Leave(uint32_t place);
  void Refresh(AppIndex app, const Vocabulary& vocabulary);
  bool Install(const v1::App& app, const Vocabulary& vocabulary,
               const std::string& field, std::vector<AppIndex>& touched,
               Issues& issues);
  bool Uninstall(const std::string& package, const Vocabulary& vocabulary,
                 std::vector<AppIndex>& touched);
  bool SetPermission(const v1::AppChange::Permission& change, bool held,
                     const Vocabulary& vocabulary, const std::string& field,
                     std::vector<AppIndex>& touched, Issues& issues);
  template <typename Function>
  void DropGrants(const Function& goes);
  bool SetGrant(const v1::Grant& grant, bool there, const std::string& field,
                Issues& issues);

  uint64_t version_ = 0;
  size_t count_ = 0;
  // Where they have been counted.
  std::optional<size_t> bytes_;
  Chunks<Place, 64> places_;
  Chunks<Entry, 64> entries_;
  Chunks<AppIndex, 1024> entry_of_id_;
  NameMap packages_;
  NameMap folded_packages_;
  std::shared_ptr<const GrantList> grants_ =
      std::make_shared<const GrantList>();
};

}  // namespace fused::policy

#endif  // FUSED_POLICY_APPS_H_
