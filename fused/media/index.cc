#include "fused/media/index.h"

#include <sys/resource.h>
#include <unistd.h>

#include <utility>

#include "fused/media/sqlite_store.h"

namespace fused::media {
namespace {

// Of the thread that scans: requests come first.
constexpr int kScanNiceness = 10;

}  // namespace

std::unique_ptr<Index> Index::OnDisk(const std::string& path,
                                     const Options& options) {
  auto interner = std::make_unique<Interner>();
  auto storage = std::make_unique<SqliteStorage>(path, interner.get());
  return std::make_unique<Index>(std::move(interner), std::move(storage),
                                 options);
}

Index::Index(std::unique_ptr<Interner> interner,
             std::unique_ptr<Storage> storage, const Options& options)
    : interner_(std::move(interner)),
      storage_(std::move(storage)),
      writer_({.storage = storage_.get(),
               .gather = options.gather,
               .retry = options.retry,
               .most_queued = options.most_queued,
               .loaded = [this](bool whole) { Loaded(whole); },
               .table = [this](const TreeName& name) { return TableOf(name); },
               .tables =
                   [this] {
                     std::vector<Table*> all;
                     absl::MutexLock lock(&mutex_);
                     for (const auto& [name, table] : tables_) {
                       all.push_back(table.get());
                     }
                     return all;
                   },
               .changed = options.changed}) {}

Index::~Index() { Stop(); }

void Index::Start(std::function<void()> late) {
  late_ = std::move(late);
  writer_.Start();
  scanner_ = std::thread([this] { ScanTrees(); });
  absl::MutexLock lock(&mutex_);
  started_ = true;
}

void Index::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    stop_scan_.store(true);
  }
  if (scanner_.joinable()) scanner_.join();
  writer_.Stop();
}

Table* Index::TableOf(const TreeName& name) {
  absl::MutexLock lock(&mutex_);
  std::unique_ptr<Table>& table = tables_[name];
  if (table == nullptr) table = std::make_unique<Table>(name);
  return table.get();
}

void Index::Loaded(bool whole) {
  loaded_.store(true, std::memory_order_release);
  bool late = false;
  {
    absl::MutexLock lock(&mutex_);
    late = started_;
    suspect_ = !whole;
    if (suspect_) {
      for (auto& [tree, attached] : attached_) ++attached.wanted;
    }
  }
  if (late && late_ != nullptr) late_();
}

std::unique_ptr<Tree> Index::Attach(Tree::Options options) {
  Table* const table = TableOf(options.name);
  auto tree = std::make_unique<Tree>(std::move(options), table, &writer_,
                                     interner_.get());
  absl::MutexLock lock(&mutex_);
  attached_[tree.get()].wanted = suspect_ ? 1 : 0;
  return tree;
}

void Index::Detach(Tree* tree) {
  absl::MutexLock lock(&mutex_);
  attached_.erase(tree);
  if (scanning_ == tree) stop_scan_.store(true);
  struct Free {
    const Index* index;
    const Tree* tree;
  } free{this, tree};
  const auto is_free = +[](Free* f) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return f->index->scanning_ != f->tree;
  };
  mutex_.Await(absl::Condition(is_free, &free));
}

uint64_t Index::RequestScan(Tree* tree, bool drop) {
  absl::MutexLock lock(&mutex_);
  Attached& attached = attached_[tree];
  // One that has begun may be past what is asked about.
  attached.wanted = attached.begun + 1;
  attached.drop = attached.drop || drop;
  return attached.wanted;
}

Index::TreeStats Index::StatsOf(const Tree* tree) const {
  TreeStats stats;
  stats.scan = tree->scan_stats();
  absl::MutexLock lock(&mutex_);
  const auto found = attached_.find(tree);
  if (found == attached_.end()) return stats;
  stats.scans_begun = found->second.begun;
  stats.scans_done = found->second.done;
  stats.scanning = found->second.done < found->second.wanted ||
                   found->second.done < found->second.begun;
  return stats;
}

Tree* Index::NextToScan() const {
  for (const auto& [tree, attached] : attached_) {
    if (attached.begun < attached.wanted) return const_cast<Tree*>(tree);
  }
  return nullptr;
}

void Index::ScanTrees() {
  setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), kScanNiceness);
  absl::ReleasableMutexLock lock(&mutex_);
  while (true) {
    const auto wanted = [this]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      return stopping_ || NextToScan() != nullptr;
    };
    mutex_.Await(absl::Condition(&wanted));
    if (stopping_) return;
    Tree* const tree = NextToScan();
    const uint64_t number = ++attached_[tree].begun;
    const bool drop = std::exchange(attached_[tree].drop, false);
    scanning_ = tree;
    stop_scan_.store(false);
    mutex_.Unlock();
    tree->Scan(drop, stop_scan_);
    mutex_.Lock();
    scanning_ = nullptr;
    const auto found = attached_.find(tree);
    if (found != attached_.end()) found->second.done = number;
  }
}

}  // namespace fused::media
