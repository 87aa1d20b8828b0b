#include "policy/oracle/cells.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <map>
#include <sstream>
#include <utility>

#include "absl/log/check.h"
#include "absl/log/log.h"
#include "policy/issue.h"
#include "policy/parse.h"
#include "proto/policy.pb.h"

namespace fused::policy::oracle {
namespace {

struct Kind {
  std::string_view name;
  std::vector<std::string> permissions;
  std::vector<v1::Role> roles;
  int target_sdk = 34;
};

// The columns of the design's table, and what it says of permissions. "root",
// "shell" and "unlisted" have no entry.
const std::vector<Kind>& Kinds() {
  static const auto* const kKinds = new std::vector<Kind>{
      {"nobody", {}, {}},
      {"other", {}, {}},
      {"images", {"READ_MEDIA_IMAGES"}, {}},
      {"video", {"READ_MEDIA_VIDEO"}, {}},
      {"audio", {"READ_MEDIA_AUDIO"}, {}},
      {"old_reader", {"READ_EXTERNAL_STORAGE"}, {}, 32},
      {"new_reader", {"READ_EXTERNAL_STORAGE"}, {}, 33},
      {"old_writer", {"WRITE_EXTERNAL_STORAGE"}, {}, 29},
      {"new_writer", {"WRITE_EXTERNAL_STORAGE"}, {}, 30},
      {"manager", {}, {v1::MANAGER}},
      {"gallery", {}, {v1::SYSTEM_GALLERY}},
      {"installer", {}, {v1::INSTALLER}},
      {"mtp", {}, {v1::MTP}},
      {"downloads", {}, {v1::DOWNLOADS}},
  };
  return *kKinds;
}

std::string PackageOf(std::string_view kind) {
  return "com.test." + std::string(kind);
}

uint32_t UidOf(std::string_view kind, uint32_t user) {
  if (kind == "root") return 0;
  if (kind == "shell") return 2000;
  for (size_t i = 0; i < Kinds().size(); ++i) {
    if (Kinds()[i].name == kind) {
      return user * 100000 + 10100 + static_cast<uint32_t>(i);
    }
  }
  CHECK_EQ(kind, "unlisted");
  return user * 100000 + 10999;
}

v1::AppDirectory Apps() {
  v1::AppDirectory apps;
  apps.set_version(1);
  for (const Kind& kind : Kinds()) {
    v1::App* app = apps.add_apps();
    app->set_package(PackageOf(kind.name));
    app->set_uid(UidOf(kind.name, 0));
    app->set_target_sdk(kind.target_sdk);
    for (const auto& p : kind.permissions) app->add_permissions(p);
    for (v1::Role role : kind.roles) app->add_roles(role);
  }
  return apps;
}

// "a{b,c}" as "ab" and "ac"; "{own}" is left alone.
void Expand(const std::string& word, std::vector<std::string>& out) {
  size_t open = word.find('{');
  while (open != std::string::npos && word.compare(open, 5, "{own}") == 0) {
    open = word.find('{', open + 1);
  }
  if (open == std::string::npos) {
    out.push_back(word);
    return;
  }
  const size_t close = word.find('}', open);
  CHECK_NE(close, std::string::npos) << word;
  size_t from = open + 1;
  while (from <= close) {
    const size_t to = std::min(word.find(',', from), close);
    Expand(word.substr(0, open) + word.substr(from, to - from) +
               word.substr(close + 1),
           out);
    from = to + 1;
  }
}

std::vector<std::string> Words(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream in(text);
  for (std::string word; in >> word;) Expand(word, words);
  return words;
}

std::string WithOwn(std::string path, std::string_view kind) {
  const size_t at = path.find("{own}");
  return at == std::string::npos ? path : path.replace(at, 5, PackageOf(kind));
}

OperationSet SetOf(char letter, bool directory) {
  const OperationSet make = directory ? Operation::kMkdir : Operation::kCreate;
  switch (letter) {
    case 'S':
      return Operation::kLookup;
    case 'L':
      return Operation::kList;
    case 'R':
      return Operation::kRead;
    case 'W':
      return Operation::kWrite;
    case 'A':
      return Operation::kSetattr;
    case 'C':
      return make;
    case 'D':
      return directory ? Operation::kRmdir : Operation::kUnlink;
    case 'N':
      return Operation::kRenameFrom;
    case 'T':
      return make | Operation::kRenameTo;
    case 'K':
      return Operation::kLink;
    case 'Y':
      return Operation::kSymlink;
    case 'X':
      return Operation::kMknod;
    default:
      LOG(FATAL) << "no such operation: " << letter;
  }
}

std::string_view WordFor(const Decision& decision) {
  constexpr std::string_view kWords[] = {"ok", "ENOENT", "EACCES", "EPERM"};
  return kWords[static_cast<size_t>(decision.error)];
}

enum class Spelling { kPlain, kCapital, kSmall };

std::string Spell(std::string text, Spelling spelling) {
  if (spelling == Spelling::kPlain) return text;
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    c = static_cast<char>(spelling == Spelling::kCapital ? std::toupper(byte)
                                                         : std::tolower(byte));
  }
  return text;
}

// A caller before a path.
struct Scene {
  std::string caller;
  uint32_t user = 0;
  uint32_t tree = 0;
  std::string path;
  std::string owner;
};

// The place of a path, and its last component.
Location Walk(const Snapshot& snapshot, uint32_t tree, const std::string& path,
              std::string* name) {
  Location location = snapshot.Root(tree);
  std::istringstream in(path);
  for (std::string part; std::getline(in, part, '/');) {
    if (part.empty()) continue;
    location = snapshot.Child(location, part);
    *name = part;
  }
  return location;
}

Decision Ask(const Snapshot& snapshot, const Scene& scene, char letter) {
  const bool directory = scene.path.ends_with('/');
  std::string name;
  const Location location = Walk(snapshot, scene.tree, scene.path, &name);
  const bool makes = letter == 'C' || letter == 'T';
  AppIndex owner = kNoApp;
  if (!directory && !makes && scene.owner != "none") {
    const std::string& kind =
        scene.owner == "self" ? scene.caller : scene.owner;
    owner = snapshot.AppOf(PackageOf(kind), UidOf(kind, 0));
    CHECK_NE(owner, kNoApp) << kind;
  }
  const Subject subject = snapshot.SubjectOf(UidOf(scene.caller, scene.user));
  const Object object = snapshot.ObjectAt(location, name, directory, owner);
  const OperationSet operations = SetOf(letter, directory);
  return makes ? snapshot.DecideName(subject, object, operations, name)
               : snapshot.Decide(subject, object, operations);
}

// "ok SL, EACCES R" as {S: ok, L: ok, R: EACCES}.
std::vector<std::pair<char, std::string>> Wants(const std::string& want) {
  std::vector<std::pair<char, std::string>> wants;
  std::istringstream in(want);
  std::string answer;
  std::string letters;
  while (in >> answer >> letters) {
    CHECK(answer == "ok" || answer == "ENOENT" || answer == "EACCES" ||
          answer == "EPERM")
        << want;
    for (char letter : letters) {
      if (letter != ',') wants.emplace_back(letter, answer);
    }
  }
  return wants;
}

void CheckScene(const Snapshot& snapshot, const Scene& scene,
                const std::string& want, Outcome& outcome) {
  for (const auto& [letter, answer] : Wants(want)) {
    const Decision decision = Ask(snapshot, scene, letter);
    ++outcome.cells;
    if (WordFor(decision) == answer) continue;
    outcome.different.push_back(
        {scene.caller + " of user " + std::to_string(scene.user), scene.path,
         scene.owner, std::string(1, letter), answer,
         std::string(WordFor(decision)) + " by \"" +
             std::string(snapshot.policy().RuleName(decision.rule)) + "\""});
  }
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Cell& cell) {
  return out << cell.caller << ", " << cell.path << " of " << cell.owner << ", "
             << cell.operation << ": want " << cell.want << ", got "
             << cell.got;
}

Table::Table() {
  Issues issues;
  Parsed<v1::AppDirectory> apps;
  apps.message = Apps();
  snapshot_ = Snapshot::Build(1, CompiledPolicy::BuiltIn(), apps, issues);
  for (const Issue& issue : issues) LOG(ERROR) << issue.ToString();
  CHECK(snapshot_ != nullptr);
}

Outcome Table::Check(const std::vector<Row>& rows) const {
  Outcome outcome;
  for (const Row& row : rows) {
    for (const std::string& caller : Words(row.callers)) {
      for (const std::string& path : Words(row.paths)) {
        for (const std::string& owner : Words(row.owners)) {
          for (uint32_t user : {0u, 10u}) {
            for (Spelling spelling :
                 {Spelling::kPlain, Spelling::kCapital, Spelling::kSmall}) {
              CheckScene(*snapshot_,
                         {caller, user, user,
                          Spell(WithOwn(path, caller), spelling), owner},
                         row.want, outcome);
            }
          }
        }
      }
    }
  }
  return outcome;
}

Outcome Table::CheckOtherUsers(const std::vector<Row>& rows) const {
  Outcome outcome;
  for (const Row& row : rows) {
    for (const std::string& caller : Words(row.callers)) {
      for (const std::string& path : Words(row.paths)) {
        for (const std::string& owner : Words(row.owners)) {
          CheckScene(*snapshot_, {caller, 0, 10, WithOwn(path, caller), owner},
                     row.want, outcome);
          CheckScene(*snapshot_, {caller, 10, 11, WithOwn(path, caller), owner},
                     row.want, outcome);
        }
      }
    }
  }
  return outcome;
}

bool Table::SharesLookup(const std::string& path) const {
  std::string name;
  return snapshot_->UniformLookup(Walk(*snapshot_, 0, path, &name));
}

}  // namespace fused::policy::oracle
