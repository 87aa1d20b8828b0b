// One view, many threads: what comes at once is answered as if one by one.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fuse_kernel.h"
#include "fused/testing/view_fixture.h"
#include "gtest/gtest.h"
#include "kernel/testing/fake_kernel.h"

namespace fused {
namespace {

using kernel::kRootNode;
using kernel::Terminated;
using Request = MountedView::Request;

constexpr int kThreads = 4;

Request OpenRequest(kernel::NodeId node, int flags) {
  fuse_open_in in = {};
  in.flags = static_cast<uint32_t>(flags);
  return {FUSE_OPEN, node, MountedView::Bytes(in), {}};
}

Request ReleaseRequest(kernel::NodeId node, uint64_t handle) {
  fuse_release_in in = {};
  in.fh = handle;
  return {FUSE_RELEASE, node, MountedView::Bytes(in), {}};
}

// All are open at once, so all are of one mode: the kernel refuses a mix.
TEST_F(ViewTest, OpensOfANodeAgree) {
  MakeFile("f", "0123456789");
  MountedView& view = Mount();
  const kernel::NodeId f = view.Walk("f");
  int passed_through = 0;
  int served = 0;
  for (int round = 0; round < 60; ++round) {
    // Registration fails for every third of them, whoever comes first.
    view.backing().OnOpen([&view, round](int) {
      view.backing().Refuse(round % 3 == 0 ? ENOSPC : 0);
    });
    std::vector<Request> opens;
    for (int i = 0; i < 40; ++i) {
      opens.push_back(OpenRequest(f, i % 2 == 0 ? O_RDONLY : O_RDWR));
    }
    std::set<int32_t> ids;
    std::vector<Request> releases;
    for (const Answer& answer : view.CallAll(opens, kThreads)) {
      ASSERT_EQ(answer.error, 0);
      ids.insert(answer.opened().backing_id);
      releases.push_back(ReleaseRequest(f, answer.opened().fh));
    }
    ASSERT_EQ(ids.size(), 1u) << round;
    ++(*ids.begin() == 0 ? served : passed_through);
    for (const Answer& answer : view.CallAll(releases, kThreads)) {
      ASSERT_EQ(answer.error, 0);
    }
    view.session().backing().Trim();
  }
  EXPECT_EQ(served, 20);
  EXPECT_EQ(passed_through, 40);
  EXPECT_EQ(view.view().handles(), 0u);
  EXPECT_TRUE(view.backing().ids().empty());
  EXPECT_EQ(view.backing().wrong_closes(), 0);
}

TEST_F(ViewTest, OpensReadsAndReleasesAtOnce) {
  MakeFile("f", "0123456789");
  MountedView& view = Mount();
  const kernel::NodeId f = view.Walk("f");
  std::vector<uint64_t> handles;
  for (int round = 0; round < 60; ++round) {
    std::vector<Request> requests;
    for (const uint64_t handle : handles) {
      requests.push_back(ReleaseRequest(f, handle));
    }
    const size_t releases = requests.size();
    for (int i = 0; i < 20; ++i) {
      requests.push_back(OpenRequest(f, i % 3));
      requests.push_back(
          {FUSE_GETATTR, f, MountedView::Bytes(fuse_getattr_in{}), {}});
      requests.push_back({FUSE_LOOKUP, kRootNode, Terminated("f"), {}});
    }
    handles.clear();
    const std::vector<Answer> answers = view.CallAll(requests, kThreads);
    for (size_t i = 0; i < answers.size(); ++i) {
      ASSERT_EQ(answers[i].error, 0) << i;
      if (requests[i].opcode == FUSE_OPEN) {
        handles.push_back(answers[i].opened().fh);
      }
      if (requests[i].opcode == FUSE_LOOKUP) {
        ASSERT_EQ(answers[i].node(), f);
      }
    }
    ASSERT_EQ(view.view().handles(), handles.size());
    ASSERT_EQ(releases, round == 0 ? 0u : 20u);
  }
  view.Forget(f, 1 + 60 * 20);
  EXPECT_EQ(view.view().nodes(), 1u);
}

// As an app that races with itself to get out of a directory, or to have two
// files of one name.
TEST_F(ViewTest, NamesAtOnce) {
  MakeDirectory("a");
  MakeDirectory("b");
  MountedView& view = Mount();
  const kernel::NodeId directories[] = {view.Walk("a"), view.Walk("b")};
  fuse_create_in create = {};
  create.flags = O_RDWR | O_CREAT | O_EXCL;
  create.mode = S_IFREG | 0644;
  for (int round = 0; round < 100; ++round) {
    std::vector<Request> requests;
    for (int i = 0; i < 24; ++i) {
      const kernel::NodeId from = directories[i % 2];
      const kernel::NodeId to = directories[(i + 1) % 2];
      fuse_rename2_in rename = {};
      rename.newdir = to;
      rename.flags = i % 4 == 3 ? uint32_t{RENAME_EXCHANGE} : 0;
      requests.push_back({FUSE_CREATE,
                          from,
                          MountedView::Bytes(create) + Terminated("f"),
                          {}});
      requests.push_back({FUSE_RENAME2,
                          from,
                          MountedView::Bytes(rename) + Terminated("f") +
                              Terminated(i % 3 == 0 ? "f" : "g"),
                          {}});
      requests.push_back({FUSE_UNLINK, to, Terminated("g"), {}});
      requests.push_back({FUSE_LOOKUP, to, Terminated("g"), {}});
    }
    std::vector<Request> releases;
    const std::vector<Answer> answers = view.CallAll(requests, kThreads);
    for (size_t i = 0; i < answers.size(); ++i) {
      const int error = answers[i].error;
      if (requests[i].opcode == FUSE_CREATE) {
        // ESTALE: what was made was gone before it was opened.
        ASSERT_TRUE(error == 0 || error == EEXIST || error == ESTALE) << error;
      } else {
        // ESTALE: another thread has put something else in its place.
        ASSERT_TRUE(error == 0 || error == ENOENT || error == ESTALE)
            << requests[i].opcode << ": " << error;
      }
      if (error != 0) continue;
      if (requests[i].opcode == FUSE_CREATE) {
        releases.push_back(
            ReleaseRequest(answers[i].node(), answers[i].created().fh));
      }
    }
    for (const Answer& answer : view.CallAll(releases, kThreads)) {
      ASSERT_EQ(answer.error, 0);
    }
    for (const Answer& answer : answers) {
      // Of whatever had an entry; forgetting what has none does nothing.
      if (answer.error == 0) view.Forget(answer.node(), 1);
    }
  }
  EXPECT_EQ(view.view().handles(), 0u);
  EXPECT_EQ(view.session().unanswered(), 0u);
  // What is known of the names is what is there.
  for (const kernel::NodeId directory : directories) {
    for (const ListedName& name : view.List(directory, true)) {
      struct stat stat = {};
      const std::string path =
          absl::StrCat(directory == directories[0] ? "a/" : "b/", name.name);
      ASSERT_EQ(lstat(Path(path).c_str(), &stat), 0);
      EXPECT_EQ(name.entry.attr.ino, stat.st_ino);
      EXPECT_EQ(view.Walk(path), name.entry.nodeid);
    }
  }
}

}  // namespace
}  // namespace fused
