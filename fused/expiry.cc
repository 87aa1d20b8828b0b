#include "fused/expiry.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "fused/describe.h"
#include "fused/media/walk.h"
#include "kernel/lower.h"
#include "kernel/session.h"
#include "kernel/status.h"

namespace fused {
namespace {

constexpr int64_t kWeek = int64_t{7} * 24 * 60 * 60;
// How many stamps, a second apart, are tried for a new name.
constexpr int kStamps = 1000;

bool IsDue(const std::string& name, int64_t now) {
  const std::optional<int64_t> expires = ExpiryOf(name);
  return expires.has_value() && *expires <= now;
}

class Expirer {
 public:
  Expirer(LowerTree& tree, const Telling& telling, int64_t now)
      : tree_(tree), telling_(telling), now_(now) {}

  ExpiryResult Go(const std::atomic<bool>& stop) {
    std::vector<std::string> due;
    const bool whole = media::Walk(tree_.root_descriptor(), stop,
                                   [&](const media::Walked& file) {
                                     if (IsDue(file.name, now_)) {
                                       due.push_back(file.path());
                                     }
                                   });
    if (!whole) ++result_.failed;
    for (const std::string& path : due) {
      if (stop.load(std::memory_order_relaxed)) break;
      const absl::Status status = Expire(path);
      // What is gone, or has another name now, is no longer due.
      if (!status.ok() && !kernel::IsErrno(status, ENOENT)) ++result_.failed;
    }
    return std::move(result_);
  }

 private:
  absl::Status Expire(const std::string& path) {
    Ref<LowerNode> parent = tree_.root();
    std::vector<std::string> names = absl::StrSplit(path, '/');
    const std::string name = std::move(names.back());
    names.pop_back();
    for (const std::string& directory : names) {
      absl::StatusOr<LowerTree::Found> found =
          tree_.Lookup(parent, directory.c_str());
      if (!found.ok()) return found.status();
      parent = std::move(found->node);
    }
    const int64_t expires = ExpiryOf(name).value_or(now_);
    if (now_ - expires <= kWeek) return Delete(parent, name, path);
    return Postpone(parent, name, path);
  }

  // What stands there under the parent's names_mutex.
  absl::StatusOr<Ref<LowerNode>> FileAt(const Ref<LowerNode>& parent,
                                        const std::string& name) {
    absl::StatusOr<LowerTree::Found> found = tree_.Lookup(parent, name.c_str());
    if (!found.ok()) return found.status();
    if (!found->node->is_regular()) return kernel::ErrnoStatus(ENOENT);
    return std::move(found->node);
  }

  absl::Status Delete(const Ref<LowerNode>& parent, const std::string& name,
                      const std::string& path) {
    Ref<LowerNode> file;
    {
      absl::MutexLock names(&parent->names_mutex());
      absl::StatusOr<Ref<LowerNode>> found = FileAt(parent, name);
      if (!found.ok()) return found.status();
      file = *std::move(found);
      absl::StatusOr<Pin> pin = parent->Descriptor();
      if (!pin.ok()) return pin.status();
      if (unlinkat((*pin)->get(), name.c_str(), 0) != 0) {
        return kernel::ErrnoStatus(errno);
      }
      file->ForgetRecord(file->IsGone());
    }
    Tell(*parent, *file, {name});
    result_.files.push_back({path, ""});
    return absl::OkStatus();
  }

  // A name with the first stamp from a week on that is free.
  static absl::StatusOr<std::string> FreeName(int directory,
                                              const std::string& name,
                                              int64_t stamp) {
    for (int i = 0; i < kStamps; ++i) {
      std::string fresh = WithExpiry(name, stamp + i);
      const absl::Status there =
          kernel::StatChild(directory, fresh.c_str()).status();
      if (kernel::IsErrno(there, ENOENT)) return fresh;
      if (!there.ok()) return there;
    }
    return kernel::ErrnoStatus(EEXIST);
  }

  absl::Status Postpone(const Ref<LowerNode>& parent, const std::string& name,
                        const std::string& path) {
    absl::StatusOr<Pin> pin = parent->Descriptor();
    if (!pin.ok()) return pin.status();
    const int directory = (*pin)->get();
    Ref<LowerNode> file;
    absl::StatusOr<std::string> fresh;
    media::Tree* const media = tree_.media();
    const bool by_path = media != nullptr && media->by_path();
    std::vector<media::Tree::Moved> plan;
    absl::Status status;
    {
      absl::ReaderMutexLock shape(&tree_.shape_mutex());
      absl::MutexLock names(&parent->names_mutex());
      absl::StatusOr<Ref<LowerNode>> found = FileAt(parent, name);
      if (!found.ok()) return found.status();
      file = *std::move(found);
      fresh = FreeName(directory, name, now_ + kWeek);
      if (!fresh.ok()) return fresh.status();
      media::Tree::End to = tree_.EndOf({parent, *fresh}, nullptr);
      if (by_path) {
        plan = media->PlanMove(tree_.EndOf({parent, name}, file), to, false);
        // Waits for the disk under locks: once in a long while.
        if (media->rows_alone()) status = media->StageMove(plan);
      }
      const LowerTree::Moving moving(tree_);
      if (status.ok() &&
          renameat(directory, name.c_str(), directory, fresh->c_str()) != 0) {
        status = kernel::ErrnoStatus(errno);
      }
      if (status.ok()) {
        file->SetPlace(parent, *fresh);
        if (by_path) media->FinishMove(plan, to, false, media->rows_alone());
        file->RecordName(*fresh);
      } else if (by_path && media->rows_alone()) {
        media->CancelMove(plan);
      }
    }
    if (!status.ok()) return status;
    Tell(*parent, *file, {name, *fresh});
    const size_t slash = path.rfind('/');
    result_.files.push_back(
        {path, slash == std::string::npos
                   ? *fresh
                   : absl::StrCat(path.substr(0, slash + 1), *fresh)});
    return absl::OkStatus();
  }

  void Tell(LowerNode& parent, const LowerNode& file,
            const std::vector<std::string>& names) {
    for (const Sighting& sighting : file.sightings()) {
      const std::shared_ptr<kernel::Session> session =
          sighting.peer->session().lock();
      if (session != nullptr) session->backing().Doom(sighting.node);
    }
    telling_.Attributes(file, {}, false);
    telling_.AttributesOfDirectory(parent, {});
    for (const std::string& name : names) {
      telling_.Name(parent, {}, name, NameChange::kGone, std::nullopt);
    }
  }

  LowerTree& tree_;
  const Telling& telling_;
  const int64_t now_;
  ExpiryResult result_;
};

}  // namespace

ExpiryResult ExpireFiles(LowerTree& tree, const Telling& telling, int64_t now,
                         const std::atomic<bool>& stop) {
  return Expirer(tree, telling, now).Go(stop);
}

}  // namespace fused
