// The index of one lower tree.
#ifndef FUSED_FUSED_MEDIA_TREE_H_
#define FUSED_FUSED_MEDIA_TREE_H_

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "fused/media/interner.h"
#include "fused/media/key.h"
#include "fused/media/record.h"
#include "fused/media/table.h"
#include "fused/media/writer.h"
#include "fused/owner.h"

namespace fused::media {

// Never runs SQL, and waits for it only where that is said. Thread-safe.
class Tree {
 public:
  struct Options {
    TreeName name;
    // O_PATH or not; outlives it.
    int root = -1;
    // Owners are on the lower files themselves too, and count there.
    bool xattrs = false;
    // What a name says. Any thread; without it names say nothing.
    std::function<Described(std::string_view name)> describe;
    // For tests; else as the root's file system has it.
    std::optional<KeyKind> kind;
  };
  // What stands at one end of a move. A directory, or nothing, has no key.
  struct End {
    std::string path;
    std::optional<FileKey> file;
    bool directory = false;
  };
  // What becomes of a record when names change.
  struct Moved {
    FileKey from;
    FileKey to;
    Record record;
  };
  struct ScanStats {
    uint64_t scanned = 0;   // files
    uint64_t adopted = 0;   // records made or changed by what the files said
    uint64_t repaired = 0;  // files that lacked what the index knew
    uint64_t dropped = 0;   // records of files that are gone
  };

  // `table`, `writer` and `interner` outlive it.
  Tree(Options options, Table* table, Writer* writer, Interner* interner);
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  const TreeName& name() const { return table_->name(); }
  bool by_path() const { return ByPath(kind_); }
  // Owners are nowhere but in the rows: what is acknowledged waits for them.
  bool rows_alone() const { return !options_.xattrs; }
  size_t owned() const { return table_->owned(); }

  absl::StatusOr<FileKey> KeyOf(int fd,
                                absl::FunctionRef<std::string()> path) const {
    return MakeKey(kind_, fd, path);
  }
  std::optional<Record> Find(const FileKey& key) const {
    return table_->Find(key);
  }
  std::optional<Owner> OwnerOf(const FileKey& key) const;

  // Each returns what to Wait() for; 0 where nothing changed. Of a file that
  // stands as `name`.
  uint64_t SetOwner(const FileKey& key, std::string_view name,
                    const Owner& owner);
  // The same of a file that was just made. EACCES: the lower tree may tell two
  // files apart that this does not, and the other is another's.
  absl::StatusOr<uint64_t> ClaimOwner(const FileKey& key, std::string_view name,
                                      const Owner& owner);
  uint64_t SetLocation(const FileKey& key, std::string_view name,
                       Location location, const struct stat& stat);
  // It has another name now.
  uint64_t SetName(const FileKey& key, std::string_view name);
  // The file is gone.
  uint64_t Drop(const FileKey& key);

  // What was told of the file as it is.
  Location LocationOf(const FileKey& key, const struct stat& stat) const;

  // Until it survives the end of the process. ENOSPC or EACCES: it does not.
  absl::Status Wait(uint64_t ticket);

  // For kinds by path. What a move of `from` to `to`, or an exchange, does to
  // the records of what lies there and below, sorted.
  std::vector<Moved> PlanMove(const End& from, const End& to,
                              bool exchange) const;
  // Writes rows for where the records will be, beside those that there are;
  // nothing else changes. Waits. To be followed by one of the next two, for the
  // same plan, whatever comes of it.
  absl::Status StageMove(const std::vector<Moved>& plan);
  // It was made: records go along, and what was replaced at `to` is dropped.
  void FinishMove(const std::vector<Moved>& plan, const End& to, bool exchange,
                  bool staged);
  // It was not made: takes back what was staged.
  void CancelMove(const std::vector<Moved>& plan);

  // Walks the tree once. With `drop` records of files that are gone are
  // dropped even where they alone tell owners (a card that is not in has no
  // files either). One at a time.
  void Scan(bool drop, const std::atomic<bool>& stop);
  ScanStats scan_stats() const;

 private:
  class Scanning;

  void Describe(Record& record, std::string_view name) const;
  void PlanEnd(const End& from, const std::string& to,
               std::vector<Moved>& plan) const;
  uint64_t Update(const FileKey& key, absl::FunctionRef<void(Record&)> change);
  bool IsGone(const FileKey& key) const;

  const Options options_;
  const KeyKind kind_;
  Table* const table_;
  Writer* const writer_;
  Interner* const interner_;
  // The scan that is under way, or was last.
  std::atomic<uint32_t> mark_{0};
  std::atomic<uint64_t> scanned_{0};
  std::atomic<uint64_t> adopted_{0};
  std::atomic<uint64_t> repaired_{0};
  std::atomic<uint64_t> dropped_{0};
};

// Of plans made of the same move at different times.
bool SamePlan(const std::vector<Tree::Moved>& a,
              const std::vector<Tree::Moved>& b);

}  // namespace fused::media

#endif  // FUSED_FUSED_MEDIA_TREE_H_
