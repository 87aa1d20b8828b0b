#include "fused/control/server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "fused/control/client.h"
#include "fused/control/fake_backend.h"
#include "fused/control/frame.h"
#include "fused/control/socket.h"
#include "gtest/gtest.h"
#include "kernel/status.h"

namespace fused::control {
namespace {

using kernel::Fd;

constexpr absl::Duration kPatience = absl::Seconds(60);

v1::Request StatusRequest() {
  v1::Request request;
  request.mutable_status();
  return request;
}

// Waits for and returns everything until the peer closes.
std::string ReadAll(const Fd& socket) {
  std::string all;
  char buffer[4096];
  for (;;) {
    struct pollfd one = {socket.get(), POLLIN, 0};
    if (poll(&one, 1, 60'000) != 1) return "(silence)";
    auto got = ReceiveSome(socket.get(), buffer, sizeof buffer, nullptr);
    if (!got.ok() || *got == 0) return all;
    all.append(buffer, *got);
  }
}

v1::Response ResponseIn(const std::string& bytes) {
  FrameDecoder decoder;
  decoder.Feed(bytes);
  auto message = decoder.Next();
  v1::Response response;
  EXPECT_TRUE(message.ok() && message->has_value() &&
              response.ParseFromString(**message));
  return response;
}

class ServerTest : public testing::Test {
 protected:
  void SetUp() override {
    // Where another uid may go too.
    std::string pattern = "/tmp/fused_server_XXXXXX";
    ASSERT_NE(nullptr, mkdtemp(pattern.data()));
    directory_ = pattern;
    options_.socket = directory_ + "/made/control.sock";
  }

  void TearDown() override {
    server_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  void Start() {
    auto server = Server::Start(options_, &backend_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  Client Connect() {
    auto client = Client::Connect(options_.socket);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  v1::Response Ask(Client& client, const v1::Request& request) {
    auto reply = client.Call(request, absl::Now() + kPatience);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.ok() ? reply->message : v1::Response();
  }

  std::string directory_;
  Server::Options options_;
  FakeBackend backend_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, AnswersEveryKind) {
  Start();
  Client client = Connect();
  EXPECT_EQ("SERVING", Ask(client, StatusRequest()).status().state());
  v1::Request request;
  request.mutable_push()->set_content("12345");
  EXPECT_EQ(5u, Ask(client, request).push().version());
  request.mutable_explain()->set_uid(10061);
  EXPECT_EQ("DENY", Ask(client, request).explain().verdict());
  request.mutable_view()->set_package("a.b");
  EXPECT_EQ("/views/a.b", Ask(client, request).view().path());
  request.mutable_sync();
  EXPECT_TRUE(Ask(client, request).has_sync());
  request.mutable_handles();
  EXPECT_TRUE(Ask(client, request).has_handles());
  request.mutable_run()->set_package("a.b");
  const v1::Response refused = Ask(client, request);
  EXPECT_EQ(ENOENT, refused.error_number());
  EXPECT_EQ("no such package", refused.error());
  EXPECT_EQ(EOPNOTSUPP, Ask(client, v1::Request()).error_number());
  struct stat there = {};
  ASSERT_EQ(0, stat((directory_ + "/made").c_str(), &there));
  EXPECT_EQ(0755u, there.st_mode & 07777);
  ASSERT_EQ(0, stat(options_.socket.c_str(), &there));
  EXPECT_EQ(0666u, there.st_mode & 07777);
}

TEST_F(ServerTest, RunHandsDescriptorsOver) {
  backend_.on_run = [](const v1::RunRequest&) {
    Backend::RunReply reply;
    reply.message.set_uid(10061);
    for (const char* text : {"first", "second"}) {
      int ends[2];
      EXPECT_EQ(0, pipe2(ends, O_CLOEXEC));
      EXPECT_EQ(5, write(ends[1], text, 5));
      close(ends[1]);
      reply.message.add_mounts();
      reply.mounts.emplace_back(ends[0]);
    }
    return reply;
  };
  Start();
  Client client = Connect();
  v1::Request request;
  request.mutable_run();
  for (int round = 0; round < 3; ++round) {
    auto reply = client.Call(request, absl::Now() + kPatience);
    ASSERT_TRUE(reply.ok()) << reply.status();
    EXPECT_EQ(10061u, reply->message.run().uid());
    ASSERT_EQ(2u, reply->fds.size());
    char text[6] = {};
    EXPECT_EQ(5, read(reply->fds[1].get(), text, 5));
    EXPECT_STREQ("secon", text);
    EXPECT_EQ(FD_CLOEXEC, fcntl(reply->fds[0].get(), F_GETFD));
  }
}

TEST_F(ServerTest, OtherUidsMayOnlyAskForTheStatus) {
  if (getuid() != 0) GTEST_SKIP() << "needs root";
  options_.admin_uids = {12345};
  Start();
  // Exit codes: bit 0 status, bit 1 push, bit 2 explain, bit 3 reload answered,
  // bit 4 the status tells of volumes.
  auto ask_as = [&](uid_t uid) {
    const pid_t child = fork();
    if (child == 0) {
      if (setresuid(uid, uid, uid) != 0) _exit(100);
      auto client = Client::Connect(options_.socket);
      if (!client.ok()) _exit(101);
      int answered = 0;
      std::vector<v1::Request> requests(4);
      requests[0].mutable_status();
      requests[1].mutable_push();
      requests[2].mutable_explain();
      requests[3].mutable_reload();
      for (int i = 0; i < 4; ++i) {
        auto reply = client->Call(requests[i], absl::Now() + kPatience);
        if (!reply.ok()) _exit(102);
        if (reply->message.error_number() == 0) {
          answered |= 1 << i;
          // Not who has a view, and what it does.
          if (i == 0 && reply->message.status().volumes_size() > 0) {
            answered |= 16;
          }
        } else if (reply->message.error_number() != EACCES ||
                   reply->message.error().empty()) {
          _exit(103);
        }
      }
      _exit(answered);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  };
  // The socket's directory must let them pass.
  ASSERT_EQ(0, chmod(directory_.c_str(), 0755));
  EXPECT_EQ(1, ask_as(10061));
  EXPECT_EQ(31, ask_as(12345));
  EXPECT_EQ(31, ask_as(0));
}

TEST_F(ServerTest, GarbageIsAnsweredAndClosed) {
  Start();
  auto socket = ConnectUnix(options_.socket);
  ASSERT_TRUE(socket.ok());
  const std::string garbage("\0\0\0\4\xff\xff\xff\xff", 8);
  ASSERT_TRUE(SendSome(socket->get(), garbage, {}).ok());
  EXPECT_EQ(EBADMSG, ResponseIn(ReadAll(*socket)).error_number());
}

TEST_F(ServerTest, ATooLongMessageIsAnsweredAndClosed) {
  Start();
  auto socket = ConnectUnix(options_.socket);
  ASSERT_TRUE(socket.ok());
  // 16 MiB + 1.
  ASSERT_TRUE(SendSome(socket->get(), std::string("\1\0\0\1rest", 8), {}).ok());
  EXPECT_EQ(EMSGSIZE, ResponseIn(ReadAll(*socket)).error_number());
}

TEST_F(ServerTest, SixteenMebibytesFit) {
  Start();
  Client client = Connect();
  v1::Request request;
  // The fields' tags and lengths take the rest.
  request.mutable_push()->set_content(std::string(kMaxMessage - 10, 'x'));
  ASSERT_EQ(kMaxMessage, request.ByteSizeLong());
  EXPECT_EQ(kMaxMessage - 10, Ask(client, request).push().version());
  // And back: an answer above the limit is an error that says so.
  request.mutable_push()->mutable_content()->append("x");
  EXPECT_TRUE(absl::IsResourceExhausted(
      client.Call(request, absl::Now() + kPatience).status()));
}

TEST_F(ServerTest, ALongAnswer) {
  backend_.on_view = [](const v1::ViewRequest& request) {
    v1::ViewResponse response;
    response.set_path(std::string(request.user(), 'p'));
    return response;
  };
  Start();
  Client client = Connect();
  v1::Request request;
  request.mutable_view()->set_user(10'000'000);
  EXPECT_EQ(10'000'000u, Ask(client, request).view().path().size());
  request.mutable_view()->set_user(kMaxMessage + 1);
  EXPECT_EQ(EMSGSIZE, Ask(client, request).error_number());
  EXPECT_EQ("SERVING", Ask(client, StatusRequest()).status().state());
}

TEST_F(ServerTest, HalfAMessageIsGivenUpAndToldSo) {
  options_.message_timeout = absl::Milliseconds(50);
  Start();
  for (const bool ends : {false, true}) {
    auto socket = ConnectUnix(options_.socket);
    ASSERT_TRUE(socket.ok());
    ASSERT_TRUE(SendSome(socket->get(), std::string("\0\0\0\4x", 5), {}).ok());
    if (ends) shutdown(socket->get(), SHUT_WR);
    EXPECT_EQ(ResponseIn(ReadAll(*socket)).error_number(),
              ends ? EBADMSG : ETIMEDOUT);
  }
  // Who has said nothing, and is done, is told nothing.
  auto socket = ConnectUnix(options_.socket);
  ASSERT_TRUE(socket.ok());
  ASSERT_EQ(shutdown(socket->get(), SHUT_WR), 0);
  EXPECT_EQ("", ReadAll(*socket));
}

TEST_F(ServerTest, AnAcceptedPushIsAnsweredSoHoweverMuchThereIsToSay) {
  backend_.on_push = [](const v1::PushRequest& request) {
    v1::PushResponse response;
    response.set_accepted(true);
    response.set_version(7);
    response.set_more_holders(5);
    for (int i = 0; i < 20; ++i) {
      response.add_holders()->set_path(std::string(1 << 20, 'x'));
    }
    response.mutable_diff()->set_complete(true);
    response.mutable_diff()->add_changes()->set_path("some");
    return response;
  };
  Start();
  Client client = Connect();
  v1::Request request;
  request.mutable_push();
  const v1::Response response = Ask(client, request);
  EXPECT_EQ(response.error_number(), 0) << response.error();
  EXPECT_TRUE(response.push().accepted());
  EXPECT_EQ(response.push().version(), 7u);
  EXPECT_EQ(response.push().more_holders(), 25u);
  EXPECT_FALSE(response.push().diff().complete());
}

// It is kept in the history and in the audit log, as often as it is pushed.
TEST_F(ServerTest, AFilesNameIsCut) {
  std::string name;
  backend_.on_push = [&name](const v1::PushRequest& request) {
    name = request.file_name();
    return v1::PushResponse();
  };
  Start();
  Client client = Connect();
  v1::Request request;
  request.mutable_push()->set_file_name(std::string(1 << 20, 'x'));
  Ask(client, request);
  EXPECT_EQ(name.size(), 1024u);
}

TEST_F(ServerTest, ManyIdleConnectionsDelayNobody) {
  absl::Notification entered;
  absl::Notification leave;
  backend_.on_sync = [&](absl::Duration) {
    entered.Notify();
    leave.WaitForNotification();
    return absl::OkStatus();
  };
  Start();
  Client oldest = Connect();
  // Its request is at work while others come and go.
  auto socket = ConnectUnix(options_.socket);
  ASSERT_TRUE(socket.ok());
  v1::Request sync;
  sync.mutable_sync();
  ASSERT_TRUE(SendSome(socket->get(), *EncodeFrame(sync), {}).ok());
  entered.WaitForNotification();
  std::vector<Fd> idle;
  for (int i = 0; i < 200; ++i) {
    auto one = ConnectUnix(options_.socket);
    EXPECT_TRUE(one.ok()) << one.status();
    if (one.ok()) idle.push_back(*std::move(one));
  }
  Client another = Connect();
  EXPECT_EQ("SERVING", Ask(another, StatusRequest()).status().state());
  leave.Notify();
  // The one at work was not dropped; the oldest idle ones were.
  struct pollfd one = {socket->get(), POLLIN, 0};
  ASSERT_EQ(1, poll(&one, 1, 60'000));
  char buffer[100];
  auto got = ReceiveSome(socket->get(), buffer, sizeof buffer, nullptr);
  ASSERT_TRUE(got.ok());
  EXPECT_TRUE(ResponseIn(std::string(buffer, *got)).has_sync());
  EXPECT_EQ("", ReadAll(idle[0]));
  EXPECT_FALSE(oldest.Call(StatusRequest(), absl::Now() + kPatience).ok());
}

TEST_F(ServerTest, APeerThatGoesAwayIsForgotten) {
  Start();
  for (int i = 0; i < 100; ++i) {
    auto socket = ConnectUnix(options_.socket);
    ASSERT_TRUE(socket.ok());
    ASSERT_TRUE(
        SendSome(socket->get(), *EncodeFrame(StatusRequest()), {}).ok());
  }
  Client client = Connect();
  EXPECT_EQ("SERVING", Ask(client, StatusRequest()).status().state());
}

TEST_F(ServerTest, RequestsMayFollowAtOnce) {
  Start();
  auto socket = ConnectUnix(options_.socket);
  ASSERT_TRUE(socket.ok());
  const std::string frame = *EncodeFrame(StatusRequest());
  ASSERT_TRUE(SendSome(socket->get(), frame + frame + frame, {}).ok());
  ASSERT_EQ(0, shutdown(socket->get(), SHUT_WR));
  FrameDecoder decoder;
  decoder.Feed(ReadAll(*socket));
  for (int i = 0; i < 3; ++i) {
    auto next = decoder.Next();
    EXPECT_TRUE(next.ok() && next->has_value());
  }
  EXPECT_TRUE(decoder.empty());
}

TEST_F(ServerTest, ASocketInUseIsLeftAlone) {
  Start();
  auto second = Server::Start(options_, &backend_);
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  Client client = Connect();
  EXPECT_EQ("SERVING", Ask(client, StatusRequest()).status().state());
}

TEST_F(ServerTest, AStaleSocketIsReplaced) {
  { ASSERT_TRUE(ListenUnix(options_.socket).ok()); }
  ASSERT_EQ(0, access(options_.socket.c_str(), F_OK));
  EXPECT_TRUE(
      kernel::IsErrno(Client::Connect(options_.socket).status(), ECONNREFUSED));
  Start();
  Client client = Connect();
  EXPECT_EQ("SERVING", Ask(client, StatusRequest()).status().state());
}

TEST_F(ServerTest, AFileInTheWayIsLeftAlone) {
  options_.socket = directory_ + "/file";
  std::ofstream(options_.socket) << "text";
  auto server = Server::Start(options_, &backend_);
  EXPECT_TRUE(absl::IsAlreadyExists(server.status())) << server.status();
  EXPECT_EQ(0, access(options_.socket.c_str(), F_OK));
}

TEST_F(ServerTest, StoppingRemovesTheSocketAndClosesConnections) {
  Start();
  auto socket = ConnectUnix(options_.socket);
  ASSERT_TRUE(socket.ok());
  server_->Stop();
  EXPECT_EQ("", ReadAll(*socket));
  EXPECT_TRUE(
      kernel::IsErrno(Client::Connect(options_.socket).status(), ENOENT));
  Start();
  Client client = Connect();
  EXPECT_EQ("SERVING", Ask(client, StatusRequest()).status().state());
}

TEST_F(ServerTest, ALongPath) {
  options_.socket =
      absl::StrCat(directory_, "/", std::string(150, 'd'), "/control.sock");
  Start();
  Client client = Connect();
  EXPECT_EQ("SERVING", Ask(client, StatusRequest()).status().state());
}

}  // namespace
}  // namespace fused::control
