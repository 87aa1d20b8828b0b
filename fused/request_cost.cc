// What the daemon's requests cost, on a fake kernel: instructions from the
// bytes of a request to those of its answer, with a policy of 200 rules and
// 1,000 apps and without one (posix); and the memory of a node.
//
//   ./bazelw run //fused:request_cost -- instructions [WHAT...]
//     fails where the policy, and the record of what it said, are more than 3 %
//     of an open (OPEN and RELEASE); exits with 77 where no process may trace
//     another
//   ./bazelw run //fused:request_cost -- memory NODES
//   ./bazelw run //fused:request_cost -- functions WHAT media|posix
//     the same instructions, by the function that they are in
//   ./bazelw run //fused:request_cost -- run WHAT media|posix TIMES
//     for a profiler
#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/debugging/symbolize.h"
#include "absl/log/check.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"
#include "fuse_kernel.h"
#include "fused/app_limits.h"
#include "fused/instruction_count.h"
#include "fused/lower_node.h"
#include "fused/lower_tree.h"
#include "fused/metrics/registry.h"
#include "fused/metrics/requests.h"
#include "fused/rules.h"
#include "fused/testing/mounted_view.h"
#include "fused/testing/snapshot.h"
#include "fused/view.h"
#include "google/protobuf/text_format.h"
#include "kernel/invalidation.h"
#include "kernel/session.h"
#include "kernel/testing/fake_kernel.h"
#include "kernel/testing/scratch.h"
#include "policy/engine.h"

namespace fused {
namespace {

constexpr int kRules = 200;
constexpr int kApps = 1000;
constexpr std::string_view kName = "IMG_20240101_123456.jpg";
constexpr std::string_view kNewName = "IMG_20240101_654321.jpg";
constexpr std::string_view kOtherName = "IMG_20240101_999999.jpg";
constexpr std::string_view kRequests[] = {"open",    "lookup", "absent",
                                          "getattr", "mkdir",  "create",
                                          "unlink",  "rename"};

// Scoped storage, behind rules of a vendor's; one that can't apply to what is
// asked has to be passed all the same.
std::shared_ptr<const policy::Snapshot> Snapshot() {
  policy::v1::Policy policy = policy::CompiledPolicy::BuiltIn()->source();
  policy::v1::Policy all = policy;
  all.clear_rules();
  all.set_version(1);
  for (int i = policy.rules_size(); i < kRules; ++i) {
    policy::v1::Rule& rule = *all.add_rules();
    rule.set_name(absl::StrCat("vendor_", i));
    rule.add_operations(policy::v1::ANY);
    rule.mutable_when()->set_permission(absl::StrCat("VENDOR_", i % 24));
    rule.mutable_effect()->mutable_allow();
  }
  for (const policy::v1::Rule& rule : policy.rules()) *all.add_rules() = rule;
  std::string text;
  CHECK(google::protobuf::TextFormat::PrintToString(all, &text));
  std::string apps = "version: 1\n";
  for (int i = 0; i < kApps; ++i) {
    absl::StrAppend(&apps, "apps { package: \"com.example.app", i,
                    "\" uid: ", 10001 + i,
                    " permissions: \"READ_MEDIA_IMAGES\" permissions: "
                    "\"ACCESS_MEDIA_LOCATION\" target_sdk: 34 }\n");
  }
  return MakeSnapshot(text, apps);
}

class Cost {
 public:
  explicit Cost(bool posix) : rules_(Snapshot()), invalidations_({}) {
    scratch_.MakeDirectory("lower");
    scratch_.MakeDirectory("lower/Pictures");
    // In `posix` it is the caller who makes names.
    CHECK_EQ(chmod(scratch_.Path("lower/Pictures").c_str(), 0777), 0);
    scratch_.MakeFile(absl::StrCat("lower/Pictures/", kName), "x");
    absl::StatusOr<std::unique_ptr<LowerTree>> tree =
        LowerTree::Create(kernel::Fd(open(scratch_.Path("lower").c_str(),
                                          O_PATH | O_DIRECTORY | O_CLOEXEC)),
                          {});
    CHECK_OK(tree);
    tree_ = *std::move(tree);
    VolumeContext context;
    context.tree = tree_.get();
    context.rules = &rules_;
    context.invalidations = &invalidations_;
    context.fallback = [](std::string_view) {};
    context.limits = &limits_;
    context.requests = &requests_;
    context.registry = &registry_;
    context.posix = posix;
    view_ = std::make_unique<MountedView>(
        context,
        ViewIdentity{.package = "com.example.app0", .user = 0, .uid = 10001});
    directory_ = view_->Walk("Pictures");
    node_ = view_->Walk(absl::StrCat("Pictures/", kName));
    CHECK_NE(node_, 0u);
  }

  void Run(std::string_view what, int count) {
    for (int i = 0; i < count; ++i) {
      if (what == "open") {
        const Answer opened =
            Serve(FUSE_OPEN, node_, MountedView::Bytes(fuse_open_in{}));
        Release(node_, opened.opened().fh);
      } else if (what == "lookup") {
        Serve(FUSE_LOOKUP, directory_, kernel::Terminated(kName));
      } else if (what == "absent") {
        Serve(FUSE_LOOKUP, directory_, kernel::Terminated(kNewName));
      } else if (what == "getattr") {
        Serve(FUSE_GETATTR, node_, MountedView::Bytes(fuse_getattr_in{}));
      } else {
        Change(what);
      }
    }
  }

  // Looks new files up, in directories of 1000; none is forgotten.
  void Remember(int count) {
    constexpr int kEach = 1000;
    const size_t before = mallinfo2().uordblks;
    kernel::NodeId directory = 0;
    for (int i = 0; i < count; ++i) {
      if (i % kEach == 0) {
        const std::string name = absl::StrCat("Pictures/album_", i);
        scratch_.MakeDirectory(absl::StrCat("lower/", name));
        directory = view_->Walk(name);
      }
      const std::string name =
          absl::StrCat("IMG_20240101_", 100000 + i, ".jpg");
      scratch_.MakeFile(
          absl::StrCat("lower/Pictures/album_", i / kEach * kEach, "/", name),
          "");
      CHECK_EQ(view_->Lookup(directory, name).error, 0);
    }
    const size_t used = mallinfo2().uordblks - before;
    std::printf("%.1f bytes for each of %d nodes, %zu descriptors\n",
                static_cast<double>(used) / count, count, tree_->descriptors());
  }

 private:
  // Only what is asked for is counted, not what makes room for it.
  void Change(std::string_view what) {
    if (what == "mkdir") {
      fuse_mkdir_in in = {};
      in.mode = 0755;
      const Answer made =
          Serve(FUSE_MKDIR, directory_,
                MountedView::Bytes(in).append(kernel::Terminated(kNewName)));
      view_->Rmdir(directory_, kNewName);
      view_->Forget(made.node(), 1);
    } else if (what == "create") {
      fuse_create_in in = {};
      in.flags = O_WRONLY | O_CREAT;
      in.mode = 0644;
      const Answer made =
          Serve(FUSE_CREATE, directory_,
                MountedView::Bytes(in).append(kernel::Terminated(kNewName)));
      Release(made.node(), made.created().fh);
      view_->Unlink(directory_, kNewName);
      view_->Forget(made.node(), 1);
    } else {
      const Answer made =
          view_->Create(directory_, kNewName, O_WRONLY | O_CREAT);
      view_->Release(made.node(), made.created().fh);
      if (what == "unlink") {
        Serve(FUSE_UNLINK, directory_, kernel::Terminated(kNewName));
      } else {
        CHECK_EQ(what, "rename");
        fuse_rename2_in in = {};
        in.newdir = directory_;
        Serve(FUSE_RENAME2, directory_,
              MountedView::Bytes(in)
                  .append(kernel::Terminated(kNewName))
                  .append(kernel::Terminated(kOtherName)));
        view_->Unlink(directory_, kOtherName);
      }
      view_->Forget(made.node(), 1);
    }
  }

  void Release(kernel::NodeId node, uint64_t handle) {
    fuse_release_in release = {};
    release.fh = handle;
    Serve(FUSE_RELEASE, node, MountedView::Bytes(release));
  }

  Answer Serve(uint32_t opcode, kernel::NodeId node, std::string_view body) {
    const uint64_t unique = view_->Transmit(opcode, node, body);
    BeginCounting();
    const kernel::Session::Progress progress = view_->session().Serve(buffer_);
    EndCounting();
    CHECK(progress == kernel::Session::Progress::kServed);
    std::optional<Answer> answer = view_->Poll(unique);
    CHECK(answer.has_value() && answer->error == 0);
    return *std::move(answer);
  }

  kernel::ScratchDirectory scratch_;
  Rules rules_;
  kernel::InvalidationWorker invalidations_;
  std::unique_ptr<LowerTree> tree_;
  AppLimits limits_{{}};
  metrics::Requests requests_;
  metrics::Registry registry_;
  std::unique_ptr<MountedView> view_;
  kernel::NodeId directory_ = 0;
  kernel::NodeId node_ = 0;
  kernel::Session::Buffer buffer_;
};

constexpr int kUntraced = 77;

bool MayTrace() {
  return CountInstructions([] {}).ok();
}

constexpr int kRounds = 8;

double InstructionsOf(bool posix, std::string_view what,
                      InstructionPlaces* places = nullptr) {
  Cost cost(posix);
  // What is made at the first uses.
  cost.Run(what, 200);
  const absl::StatusOr<uint64_t> all =
      CountInstructions([&] { cost.Run(what, kRounds); }, places);
  CHECK_OK(all);
  return static_cast<double>(*all) / kRounds;
}

// One line for each function, the dearest first.
int PrintFunctions(bool posix, std::string_view what) {
  if (!MayTrace()) {
    std::fprintf(stderr, "no process may trace another here\n");
    return kUntraced;
  }
  InstructionPlaces places;
  const double all = InstructionsOf(posix, what, &places);
  absl::flat_hash_map<std::string, uint64_t> functions;
  for (const auto& [place, count] : places) {
    char name[1024];
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address that was executed
    const auto* const address = reinterpret_cast<const void*>(place);
    const bool known = absl::Symbolize(address, name, sizeof(name));
    functions[known ? name : "(unknown)"] += count;
  }
  std::vector<std::pair<uint64_t, std::string>> sorted;
  for (auto& [name, count] : functions) sorted.emplace_back(count, name);
  std::sort(sorted.rbegin(), sorted.rend());
  for (const auto& [count, name] : sorted) {
    std::printf("%8.1f %s\n", static_cast<double>(count) / kRounds,
                name.c_str());
  }
  std::printf("%8.1f in all\n", all);
  return 0;
}

int CompareInstructions(absl::Span<const std::string_view> requests) {
  constexpr double kMost = 0.03;
  if (!MayTrace()) {
    std::fprintf(stderr, "no process may trace another here\n");
    return kUntraced;
  }
  bool over = false;
  for (const std::string_view what : requests) {
    const double media = InstructionsOf(false, what);
    const double posix = InstructionsOf(true, what);
    const double share = (media - posix) / media;
    std::printf("%s: %.0f with the policy, %.0f without: %+.1f %%\n",
                std::string(what).c_str(), media, posix, share * 100);
    over = over || (what == "open" && share > kMost);
  }
  return over ? 1 : 0;
}

}  // namespace
}  // namespace fused

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  int count = 0;
  if (what == "instructions") {
    const std::vector<std::string_view> asked(argv + 2, argv + argc);
    return asked.empty() ? fused::CompareInstructions(fused::kRequests)
                         : fused::CompareInstructions(asked);
  }
  if (argc == 3 && what == "memory" && absl::SimpleAtoi(argv[2], &count)) {
    fused::Cost(false).Remember(count);
    return 0;
  }
  if (argc == 4 && what == "functions") {
    absl::InitializeSymbolizer(argv[0]);
    return fused::PrintFunctions(argv[3] == std::string_view("posix"), argv[2]);
  }
  if (argc == 5 && what == "run" && absl::SimpleAtoi(argv[4], &count)) {
    fused::Cost(argv[3] == std::string_view("posix")).Run(argv[2], count);
    return 0;
  }
  std::fprintf(stderr,
               "usage: %s instructions [WHAT...] | memory NODES | "
               "functions WHAT media|posix | run WHAT media|posix TIMES\n"
               "WHAT: %s\n",
               argv[0], absl::StrJoin(fused::kRequests, ", ").c_str());
  return 2;
}
