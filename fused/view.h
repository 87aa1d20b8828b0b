// One FUSE superblock over a volume: what an app, or everybody, sees of it.
#ifndef FUSED_FUSED_VIEW_H_
#define FUSED_FUSED_VIEW_H_

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "fused/counters.h"
#include "fused/grants.h"
#include "fused/handle.h"
#include "fused/kept_rights.h"
#include "fused/known_caller.h"
#include "fused/lower_node.h"
#include "fused/lower_tree.h"
#include "fused/media/tree.h"
#include "fused/node.h"
#include "fused/retries.h"
#include "fused/rules.h"
#include "fused/telling.h"
#include "fused/told_names.h"
#include "fused/view_parts.h"
#include "fused/visibility.h"
#include "kernel/invalidation.h"
#include "kernel/operations.h"
#include "kernel/session.h"
#include "policy/changes.h"
#include "policy/engine.h"
#include "proto/control.pb.h"

namespace fused {

// Handles every request of its superblock. Thread-safe.
class View : public kernel::Operations {
 public:
  using Caller = kernel::Caller;
  using HandleId = kernel::HandleId;
  using NodeId = kernel::NodeId;
  using CreateReply = kernel::CreateReply;
  using EntryReply = kernel::EntryReply;
  using StatusReply = kernel::StatusReply;

  View(const VolumeContext& context, ViewIdentity identity);
  View(const View&) = delete;
  View& operator=(const View&) = delete;
  ~View() override;
  // Before the session serves.
  void SetSession(const std::shared_ptr<kernel::Session>& session);
  // No request will be served any more: takes back what waits for a lock, so
  // that Close() of this view or another grants it to nobody.
  void CancelWaits();
  // The superblock is gone, no request under way: lets go of all. Idempotent.
  void Close();

  // Waits for INIT. False: `timeout` ran out.
  bool WaitInitialized(absl::Duration timeout) const {
    return initialized_.WaitForNotificationWithTimeout(timeout);
  }
  // Why no open is given to the kernel; empty where opens are. After INIT.
  std::string passthrough_reason() const;

  // For kernels without epochs: all names that one may hold, as far as known.
  void ExpireAllNames() const;

  const ViewIdentity& identity() const { return identity_; }
  const Counters& counters() const { return counters_; }
  size_t nodes() const { return nodes_.size(); }
  size_t handles() const { return files_.size() + directories_.size(); }
  kernel::BackingRegistry::Stats backing_stats() const;
  std::shared_ptr<kernel::Session> session() const {
    return peer_->session().lock();
  }

  // Appends what is open (of `uid` only, where given; the stale only, which the
  // kernel serves and the rules forbid); beyond kMostListed it counts.
  void ListHandles(std::optional<uid_t> uid, bool stale_only,
                   control::v1::HandlesResponse& response) const;

  // After new rules: has every name looked up again. True: by the worker.
  bool TellRules() const;
  // Posts what waits for names of listings before `epoch`. False: none.
  bool PostListings(uint64_t epoch) const;
  // Takes back what the daemon serves; reads no file after `deadline`.
  StaleCount AfterRules(const policy::Changes* changes, absl::Time deadline);
  void FindStale(std::vector<StaleFile>& stale) const;

  // kernel::Operations.
  void Init(const kernel::Connection& connection) override;
  void Destroy() override;
  void Received(uint32_t opcode) override { counters_.Received(opcode); }
  void Served(uint32_t opcode, uid_t uid, std::optional<int> error,
              uint64_t nanoseconds) override;
  void Lookup(const Caller& caller, NodeId parent, const char* name,
              EntryReply reply) override;
  void Forget(absl::Span<const kernel::Forget> forgets) override;
  void GetAttributes(const Caller& caller, NodeId node,
                     std::optional<HandleId> handle,
                     kernel::AttributesReply reply) override;
  void Statx(const Caller& caller, NodeId node, std::optional<HandleId> handle,
             uint32_t flags, uint32_t mask, kernel::StatxReply reply) override;
  void SetAttributes(const Caller& caller, NodeId node,
                     std::optional<HandleId> handle,
                     const kernel::SetAttributes& values,
                     kernel::AttributesReply reply) override;
  void Readlink(const Caller& caller, NodeId node,
                kernel::ReadlinkReply reply) override;
  void Symlink(const Caller& caller, const char* target, NodeId parent,
               const char* name, EntryReply reply) override;
  void Mknod(const Caller& caller, NodeId parent, const char* name, mode_t mode,
             dev_t device, EntryReply reply) override;
  void Mkdir(const Caller& caller, NodeId parent, const char* name, mode_t mode,
             EntryReply reply) override;
  void Unlink(const Caller& caller, NodeId parent, const char* name,
              StatusReply reply) override;
  void Rmdir(const Caller& caller, NodeId parent, const char* name,
             StatusReply reply) override;
  void Rename(const Caller& caller, NodeId parent, const char* name,
              NodeId new_parent, const char* new_name, uint32_t flags,
              StatusReply reply) override;
  void Link(const Caller& caller, NodeId node, NodeId new_parent,
            const char* new_name, EntryReply reply) override;
  void Open(const Caller& caller, NodeId node,
            const kernel::OpenRequest& request,
            kernel::OpenReply reply) override;
  void Create(const Caller& caller, NodeId parent, const char* name,
              mode_t mode, const kernel::OpenRequest& request,
              CreateReply reply) override;
  void Tmpfile(const Caller& caller, NodeId parent, mode_t mode,
               const kernel::OpenRequest& request, CreateReply reply) override;
  void Read(const Caller& caller, NodeId node, HandleId handle, size_t size,
            off_t offset, kernel::DataReply reply) override;
  void Write(const Caller& caller, NodeId node, HandleId handle,
             std::string_view data, off_t offset, bool kill_suidgid,
             kernel::WriteReply reply) override;
  void Flush(const Caller& caller, NodeId node, HandleId handle,
             uint64_t lock_owner, StatusReply reply) override;
  void Release(NodeId node, HandleId handle,
               std::optional<uint64_t> flock_owner, StatusReply reply) override;
  void Fsync(const Caller& caller, NodeId node, HandleId handle, bool data_only,
             StatusReply reply) override;
  void OpenDirectory(const Caller& caller, NodeId node,
                     kernel::OpenDirectoryReply reply) override;
  void ReadDirectory(const Caller& caller, NodeId node, HandleId handle,
                     off_t offset, kernel::DirectoryReply reply) override;
  void ReleaseDirectory(NodeId node, HandleId handle,
                        StatusReply reply) override;
  void FsyncDirectory(const Caller& caller, NodeId node, HandleId handle,
                      bool data_only, StatusReply reply) override;
  void Statfs(const Caller& caller, NodeId node,
              kernel::StatfsReply reply) override;
  void Access(const Caller& caller, NodeId node, int mask,
              StatusReply reply) override;
  void SetXattr(const Caller& caller, NodeId node, const char* name,
                std::string_view value, int flags, StatusReply reply) override;
  void GetXattr(const Caller& caller, NodeId node, const char* name,
                size_t size, kernel::XattrReply reply) override;
  void ListXattr(const Caller& caller, NodeId node, size_t size,
                 kernel::XattrReply reply) override;
  void RemoveXattr(const Caller& caller, NodeId node, const char* name,
                   StatusReply reply) override;
  void GetLock(const Caller& caller, NodeId node, HandleId handle,
               const kernel::LockRequest& request,
               kernel::LockReply reply) override;
  void SetLock(const Caller& caller, NodeId node, HandleId handle,
               const kernel::LockRequest& request, bool wait,
               StatusReply reply) override;
  void Flock(const Caller& caller, NodeId node, HandleId handle, uint64_t owner,
             int operation, StatusReply reply) override;
  void Fallocate(const Caller& caller, NodeId node, HandleId handle, int mode,
                 off_t offset, off_t length, StatusReply reply) override;
  void Lseek(const Caller& caller, NodeId node, HandleId handle, off_t offset,
             int whence, kernel::LseekReply reply) override;
  void CopyFileRange(const Caller& caller, NodeId node_in, HandleId handle_in,
                     off_t offset_in, NodeId node_out, HandleId handle_out,
                     off_t offset_out, size_t length,
                     kernel::WriteReply reply) override;
  void Ioctl(const Caller& caller, NodeId node, HandleId handle,
             uint32_t command, bool directory, std::string_view input,
             size_t output_size, kernel::IoctlReply reply) override;
  void Poll(const Caller& caller, NodeId node, HandleId handle,
            kernel::PollReply reply) override;

 private:
  using Actor = ViewActor;
  using Target = ViewTarget;
  using NewHandle = ViewNewHandle;
  using NewFile = ViewNewFile;
  using Standing = ViewStanding;
  using Staging = ViewStaging;

  bool posix() const { return context_.posix; }

  // view.cc
  // The node that the actor means by `id`. Null where there is none.
  Ref<Node> FindNode(const Actor& actor, NodeId id) const;
  Ref<Node> RootOf(uint32_t user) const;

  // view_judge.cc
  Actor ActorOf(uid_t uid) const;
  // Who that is by what is in force.
  void Recognize(const InForce& now, KnownCaller& known) const;
  uint64_t JudgeOf(uint64_t serial, uid_t uid) const;
  // What the actor may do with a file; nothing where more than rules say that,
  // or hear of it.
  std::optional<FileRights> RightsOf(const Actor& actor,
                                     const Node& node) const;
  policy::Decision Judge(const Actor& actor, const policy::Object& object,
                         policy::OperationSet operations) const;
  // The same, for what nobody has asked for: it counts for no shadow rule.
  policy::Decision Weigh(const Actor& actor, const policy::Object& object,
                         policy::OperationSet operations) const;
  // Counts what shadow rules say to what was decided, where there are any.
  static void NoteShadow(const Actor& actor, const policy::Object& object,
                         policy::OperationSet operations,
                         const policy::Decision& live);
  absl::Status Check(const Actor& actor, const policy::Object& object,
                     policy::OperationSet operations) const;
  // For making `name`; `made` is what will stand there.
  absl::Status CheckNew(const Actor& actor, const policy::Object& made,
                        policy::OperationSet operations,
                        std::string_view name) const;
  bool MaySee(const Actor& actor, const policy::Location& location,
              std::string_view name) const;
  FileRights WeighFile(const Actor& actor, const policy::Object& object) const;
  // In which mode the actor's opens of the object are served.
  policy::IoMode ServedAs(const Actor& actor, const policy::Object& object,
                          LowerNode& lower, const struct stat& stat) const;
  // The same by its rights, in the media profile.
  static policy::IoMode ServedBy(const Actor& actor, const FileRights& rights,
                                 LowerNode& lower, const struct stat& stat);
  // Whether who is not to see locations may open it so. Looks what it holds.
  static absl::Status CheckRedacted(const Intent& intent, LowerNode& lower);
  // In the posix profile: set-id bits, or capabilities of the file.
  static bool HasPrivileges(LowerNode& lower, const struct stat& stat);
  // Whether the lower file is of a type that the profile shows.
  bool Shows(mode_t type) const;
  std::optional<Owner> OwnerFor(const Actor& actor) const;

  // view_audit.cc
  // The decision as a status; a denial is kept for the audit log.
  static absl::Status Verdict(const Actor& actor, const policy::Object& object,
                              const policy::Decision& decision);
  // Counts and records a request that was refused, where that was a denial.
  void CountDenied(const Actor& actor, uint32_t opcode, NodeId node,
                   std::string_view name, const absl::Status& status);
  // Records only.
  void AuditDenied(const Actor& actor, uint32_t opcode, NodeId node,
                   std::string_view name, const absl::Status& status) const;
  void AuditRedacted(const Actor& actor, const Node& node,
                     const policy::Decision& decision) const;
  void CountVerdict(const Actor& actor, policy::RuleId rule,
                    metrics::Verdict verdict) const;
  metrics::AppCounts& CountsOf(uid_t uid) const;
  metrics::VerdictCounts& CountsOfRule(const Actor& actor,
                                       policy::RuleId rule) const;
  void DescribeActor(const Actor& actor, audit::Event& event) const;
  static std::string PathOf(const Node& node);

  // view_lookup.cc
  // Where it is, and whether the actor may know: the lower tree is not asked.
  absl::StatusOr<Target> Aim(const Actor& actor, NodeId parent,
                             const char* name);
  absl::StatusOr<Target> AimAt(const Actor& actor, Ref<Node> parent,
                               const char* name);
  // The same, and what stands there.
  absl::StatusOr<Target> Resolve(const Actor& actor, NodeId parent,
                                 const char* name);
  absl::StatusOr<Target> ResolveAt(const Actor& actor, Ref<Node> parent,
                                   const char* name);
  static void NoteShadowOfName(const Actor& actor, const Target& target);
  // The target's location, by where its parent stands now.
  void Locate(const Actor& actor, Target& target) const;
  static std::optional<std::string> OtherNameOf(const Actor& actor,
                                                const policy::Location& parent,
                                                LowerNode& lower,
                                                const char* name);
  // What stands at the target now, under the parent's names_mutex.
  absl::Status Refresh(const Actor& actor, Target& target, bool there = false);
  // What was found there, if the actor may know.
  absl::Status Take(const Actor& actor, Target& target, LowerTree::Found found);
  // Whether callers who share a mount get different answers there.
  bool IsShownDifferently(const Actor& actor,
                          const policy::Location& location) const;
  // Whether the kernel may keep that there is no such name.
  bool KeepsAbsence(const Actor& actor, const Node& parent,
                    std::string_view name) const;
  // The actor's node for the target, with one lookup more, and its entry.
  Ref<Node> EnterNode(const Actor& actor, Target& target, kernel::Entry& entry);
  // Enters and answers; takes the node back if the kernel did not take it.
  void ReplyEntry(const Actor& actor, Target& target, EntryReply reply);
  void LookupDot(const Actor& actor, NodeId node, std::string_view name,
                 EntryReply reply);
  void DropNode(NodeId node, uint64_t lookups);
  // Whether the kernel knows the name for what stands there now, or not at all.
  bool AsTold(const Target& target) const;
  void Told(const Target& target, const Ref<Node>& node);
  void ToldMoved(const Target& from, const Target& to, bool exchanged);

  // view_attributes.cc
  struct stat Present(const struct stat& lower, const Facts& facts,
                      const Actor& actor) const;
  kernel::Attributes AttributesOf(const Actor& actor, const LowerNode& lower,
                                  int own_writers, const struct stat& stat,
                                  const Facts& facts) const;
  bool SeesAlone(const Actor& actor, const Node& node) const;
  void NoteAsked(const Node& node) const;
  absl::Status ApplyAttributes(const Actor& actor, const Caller& caller,
                               const Ref<Node>& node, const Handle* handle,
                               const kernel::SetAttributes& values);
  static bool HasPassthroughWriter(Node& node);
  absl::Status ApplyPosixAttributes(const Ref<Node>& node, int fd,
                                    const kernel::SetAttributes& values);
  absl::Status CheckSetAttributes(const Actor& actor, const Node& node,
                                  const Handle* handle,
                                  const kernel::SetAttributes& values) const;

  // view_names.cc
  // A name was made or removed there.
  void NameChanged(LowerNode& parent, std::string_view name) const;
  // Answers with the entry of what `make` makes; it gets the parent's
  // descriptor.
  void MakeName(const Caller& caller, NodeId parent, const char* name,
                mode_t type, policy::Operation operation,
                const std::function<absl::Status(int parent)>& make,
                EntryReply reply);
  // What was made there, after `changes` (LowerTree::nomedia_changes()).
  absl::Status RefreshMade(const Actor& actor, Target& target, mode_t type,
                           uint64_t changes);
  // Why nothing was, by what stands there. Not `shown`: no such type is made.
  absl::Status NotMade(const Actor& actor, Target& target, bool shown,
                       const absl::Status& status);
  absl::Status CheckMake(const Actor& actor, const Target& target, mode_t type,
                         policy::Operation operation) const;
  void RemoveName(const Caller& caller, NodeId parent, const char* name,
                  bool directory, StatusReply reply);
  // view_rename.cc
  static bool IsDirectoryAt(const Target& target);
  absl::Status RenameLocked(const Actor& actor, Target& from, Target& to,
                            uint32_t flags, bool whole, Staging& staging);
  absl::Status RenameStaged(const Actor& actor, Target& from, Target& to,
                            uint32_t flags);
  media::Tree::End EndOf(const Target& target) const;
  // The media index, after the move.
  void RecordMove(const Target& from, const Target& to, uint32_t flags) const;
  absl::Status CheckRename(const Actor& actor, const Target& from,
                           const Target& to, uint32_t flags) const;
  absl::Status CheckMove(const Actor& actor, const Target& from,
                         const Target& to) const;
  absl::Status CheckMoveBelow(const Actor& actor,
                              const Ref<LowerNode>& directory,
                              const policy::Location& to, int depth) const;
  absl::Status CheckMoveOf(const Actor& actor, const Ref<LowerNode>& child,
                           const policy::Location& to, const std::string& name,
                           int depth) const;

  // view_open.cc
  // What the rules say to an open; of one that they allow, the decision and how
  // the actor's opens are served.
  absl::Status JudgeOpen(const Actor& actor, const Node& node,
                         const Intent& intent, policy::Decision& decision,
                         FileRights& rights) const;
  absl::StatusOr<policy::IoMode> ServedNow(const Actor& actor, const Node& node,
                                           bool redact,
                                           const FileRights& rights) const;
  // What the actor's app is charged for a handle. Nothing: EMFILE.
  std::optional<AppLimits::Share> ShareOf(const Actor& actor) const;
  absl::StatusOr<NewHandle> OpenNode(const Actor& actor, const Ref<Node>& node,
                                     const Intent& intent, int flags,
                                     const policy::Decision& decision,
                                     kernel::Fd descriptor);
  absl::StatusOr<kernel::BackingRef> TakeBacking(Node& node)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(node.open_mutex);
  absl::Status EnterMode(Node& node, Handle& handle, bool& passthrough);
  void LeaveMode(Handle& handle);
  void CloseHandle(const std::shared_ptr<Handle>& handle,
                   std::optional<uint64_t> flock_owner);
  absl::Status TruncateForOpen(const Caller& caller, const Ref<Node>& node,
                               bool kill_suidgid);
  static std::string FallbackReason(int error);
  // view_create.cc
  absl::StatusOr<kernel::Fd> MakeFile(const Caller& caller, const Actor& actor,
                                      int parent, const char* name,
                                      const NewFile& file);
  // As one, as far as moves of directories go. Invalid: the handle needs none.
  absl::StatusOr<kernel::Fd> JudgeAndMake(const Caller& caller,
                                          const Actor& actor, Target& target,
                                          const NewFile& file,
                                          policy::Decision& decision);
  // The target was just made by the actor, under locks that are still held.
  absl::Status RecordMade(const Actor& actor, Target& target);
  // Until its owner lasts; what can't be recorded is not made. With no lock.
  absl::Status SettleMade(const Actor& actor, Target& target);
  static void TakeBackMade(const Target& target);
  void ReplyCreated(const Actor& actor, Target& target, kernel::Fd fd,
                    const kernel::OpenRequest& request,
                    const policy::Decision& decision, CreateReply reply);
  void OpenExisting(const Actor& actor, Target& target,
                    const kernel::OpenRequest& request, CreateReply reply);
  absl::StatusOr<policy::Decision> CheckCreate(const Actor& actor,
                                               const Target& target,
                                               const Intent& intent) const;

  // view_recheck.cc
  Standing StandingOf(const Actor& actor, const Handle& handle,
                      bool may_read = true) const;
  // EACCES where the rules in force forbid what the handle was opened for.
  absl::Status Recheck(const Handle& handle) const;

  // view_io.cc
  absl::Status ClearSetIdUnlessRoot(const Caller& caller, int fd) const;
  absl::StatusOr<std::shared_ptr<Handle>> FileFor(HandleId handle,
                                                  bool write) const;

  // view_directory.cc
  // Adds entries until the reply is full or the directory ends.
  absl::Status FillDirectory(const Actor& actor, DirectoryHandle& directory,
                             off_t offset, kernel::DirectoryReply& reply,
                             std::vector<NodeId>& entered);
  enum class Added { kYes, kSkipped, kFull };
  Added AddName(const Actor& actor, const Ref<Node>& directory,
                const DirectoryName& name, kernel::DirectoryReply& reply,
                std::vector<NodeId>& entered);
  static kernel::Entry DotEntry(ino_t inode);
  bool ListsForAll(const Actor& actor, const policy::Location& directory) const;

  // view_coherence.cc
  // Tells the other views' kernels, and this one's of its other nodes, that the
  // attributes (with `data` the cached pages) changed. Before the reply.
  void InvalidateElsewhere(const LowerNode& lower, NodeId own, bool data) const;
  // The same, this node included.
  void InvalidateEverywhere(const LowerNode& lower, bool data) const;
  // Tells other views of a name and its directory. Before the reply: who is
  // answered, and then waits (`fusedctl sync`), waits for this.
  void TellName(const Node& parent, std::string_view name, NameChange change,
                Telling::Before before) const;
  void TellMoved(const Actor& actor, const Target& from,
                 const Target& to) const;
  // Whether another view took the file's last name away, which this view's
  // kernel may not know of yet: a name that led here is no longer its.
  bool IsLeftBehind(Node& node) const;
  // A name that moved there keeps no time that it may be cached for. Before the
  // reply, where the kernel has epochs.
  void ForgetTimeouts(NodeId parent, std::string_view name) const;
  // A lower file lost this name; with `gone` its last: no backing id is kept.
  // `known`: the node that this view's kernel took the name for, and has
  // counted it off; 0: none.
  void AfterRemoved(const Ref<LowerNode>& lower, bool gone, NodeId known) const;

  const VolumeContext context_;
  const ViewIdentity identity_;
  const Ref<Peer> peer_;
  const Telling telling_;
  const struct timespec mounted_;
  const uint64_t generation_;
  Counters counters_;
  Retries retries_;
  NodeTable nodes_;
  // The other users' roots, of a shared view with a tree for each user. All are
  // the kernel's root node, so what stands in it is looked up for each caller.
  mutable absl::Mutex roots_mutex_;
  mutable absl::flat_hash_map<uint32_t, Ref<Node>> roots_
      ABSL_GUARDED_BY(roots_mutex_);
  ToldNames told_;
  HandleTable<Handle> files_;
  HandleTable<DirectoryHandle> directories_;
  absl::Notification initialized_;
  // Of the session; for requests alone, which it outlives.
  std::atomic<kernel::BackingRegistry*> backing_{nullptr};
  // Set before initialized_.
  kernel::Connection connection_;
  std::atomic<bool> passthrough_{false};
  // The callers that threads know, and the rules that they do by.
  struct JudgedBy {
    uint64_t serial = 0;
    uint64_t id = 0;
  };
  mutable absl::Mutex judges_mutex_;
  mutable absl::flat_hash_map<uid_t, JudgedBy> judges_
      ABSL_GUARDED_BY(judges_mutex_);
};

}  // namespace fused

#endif  // FUSED_FUSED_VIEW_H_
