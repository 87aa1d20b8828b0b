// Peers of the control socket that mean no good: file operations go on, each is
// told what is wrong, and an operator is heard all the while.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/control.h"
#include "androidtest/harness/device.h"
#include "androidtest/harness/files.h"
#include "androidtest/harness/fixture.h"
#include "androidtest/harness/matchers.h"
#include "androidtest/harness/process.h"
#include "androidtest/harness/program.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/control.pb.h"

namespace fused::androidtest {
namespace {

using testing::HasSubstr;

int Connect(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) ==
      0) {
    return fd;
  }
  close(fd);
  return -1;
}

// Until the other end closes, or all is sent.
void Pour(int fd, const std::string& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t sent =
        send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (sent <= 0) return;
    done += static_cast<size_t>(sent);
  }
}

std::string Length(uint32_t length) {
  length = htonl(length);
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length));
}

std::string Bytes(const std::string& kind, int turn) {
  if (kind == "garbage") return std::string(4096, static_cast<char>(turn));
  if (kind == "half" || kind == "ended") return Length(1000) + "half";
  // As long as a message may be, and none.
  if (kind == "huge") return Length(16 << 20) + std::string(16 << 20, '\xff');
  if (kind == "longer") return Length((16 << 20) + 1) + "x";
  return "";
}

// SOCKET KIND COUNT GO: keeps COUNT connections that misbehave, each replaced
// when it is closed, for as long as the file GO is there. Returns how many.
APP_PROGRAM(Misbehave) {
  const std::string& path = arguments[0];
  const std::string& kind = arguments[1];
  const size_t count = std::stoul(arguments[2]);
  std::vector<int> connections;
  int64_t made = 0;
  while (access(arguments[3].c_str(), F_OK) == 0) {
    if (connections.size() < count) {
      const int fd = Connect(path);
      if (fd < 0) continue;
      ++made;
      Pour(fd, Bytes(kind, static_cast<int>(made)));
      connections.push_back(fd);
      if (connections.size() < count) continue;
    }
    // All are there: those that the daemon has done with make room.
    std::vector<pollfd> polled;
    for (const int fd : connections) polled.push_back({fd, POLLIN, 0});
    poll(polled.data(), polled.size(), 10);
    for (const pollfd& one : polled) {
      if ((one.revents & (POLLIN | POLLHUP | POLLERR)) == 0) continue;
      close(one.fd);
      connections.erase(
          std::find(connections.begin(), connections.end(), one.fd));
    }
  }
  for (const int fd : connections) close(fd);
  return Done(made);
}

// SOCKET KIND: what one such peer is told; at the end of the connection.
APP_PROGRAM(MisbehaveOnce) {
  const int fd = Connect(arguments[0]);
  if (fd < 0) return Failed("connect");
  Pour(fd, Bytes(arguments[1], 1));
  if (arguments[1] == "ended") shutdown(fd, SHUT_WR);
  std::string told;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
    told.append(buffer, static_cast<size_t>(got));
  }
  close(fd);
  control::v1::Response response;
  if (told.size() < 4 || !response.ParseFromString(told.substr(4))) {
    return Wrong("no answer");
  }
  return Done(response.error_number(), response.error());
}

// DIRECTORY COUNT: the median time that a name which is not there takes, in
// nanoseconds. The daemon is asked for each.
APP_PROGRAM(TimeLookups) {
  std::vector<int64_t> times;
  for (int i = 0; i < std::stoi(arguments[1]); ++i) {
    const std::string name = absl::StrCat(arguments[0], "/absent", i);
    struct stat st;
    const auto start = std::chrono::steady_clock::now();
    if (stat(name.c_str(), &st) == 0 || errno != ENOENT) return Failed("stat");
    times.push_back(
        std::chrono::nanoseconds(std::chrono::steady_clock::now() - start)
            .count());
  }
  std::sort(times.begin(), times.end());
  return Done(times[times.size() / 2]);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

class ControlAbuseTest : public DeviceTest {
 protected:
  void SetUp() override {
    DeviceTest::SetUp();
    if (IsSkipped()) return;
    PlantDirectories(device_);
    ASSERT_TRUE(device_.Start());
  }
  double Time(const App& app) const {
    const Outcome timed =
        app.Run("TimeLookups", {app.At("Download"), IsLong() ? "5000" : "500"});
    EXPECT_THAT(timed, Succeeds());
    return static_cast<double>(timed.value) / 1e3;
  }

  Device device_{{.packages = StandardPackages()}};
};

TEST_F(ControlAbuseTest, FileOperationsGoOn) {
  const App app = device_.Launch(kCamera, View::kShared);
  const App hostile = device_.LaunchUid(10064);
  const std::string apps =
      device_.Keep("more.textproto", AppsText(StandardPackages(), 2));
  const int rounds = IsLong() ? 15 : 2;
  for (const auto& [kind, count] :
       std::vector<std::pair<const char*, const char*>>{{"garbage", "16"},
                                                        {"half", "100"},
                                                        {"huge", "2"},
                                                        {"nothing", "1000"}}) {
    std::vector<double> factors;
    int64_t made = 0;
    for (int round = 0; round < rounds; ++round) {
      const double quiet = Time(app);
      const std::string go = device_.Keep("go", "");
      hostile.Begin("Misbehave", {device_.control(), kind, count, go});
      factors.push_back(Time(app) / quiet);
      EXPECT_THAT(app.Create(absl::StrCat("Download/", kind, round), "x"),
                  Succeeds());
      // An operator is heard.
      EXPECT_EQ(device_.Ctl({"status"}).exit, 0) << kind;
      EXPECT_EQ(device_.Ctl({"apps", apps}).exit, 0) << kind;
      unlink(go.c_str());
      const Outcome done = hostile.Finish();
      EXPECT_THAT(done, Succeeds());
      made += done.value;
    }
    EXPECT_GT(made, 0) << kind;
    std::cout << kind << ": " << made << " connections, a lookup takes "
              << Median(factors) << " times as long" << std::endl;
    // A figure of a quiet machine.
    if (IsLong()) {
      EXPECT_LE(Median(factors), 1.5) << kind;
    }
  }
  EXPECT_EQ(device_.Status().apps().version(), 2U);
  EXPECT_TRUE(device_.Stop());
}

TEST_F(ControlAbuseTest, EachIsToldWhatIsWrong) {
  const App hostile = device_.LaunchUid(10064);
  const App root = device_.LaunchUid(0);
  for (const App* app : {&hostile, &root}) {
    Outcome told = app->Run("MisbehaveOnce", {device_.control(), "longer"});
    EXPECT_EQ(told.value, EMSGSIZE) << told.data;
    EXPECT_THAT(told.data, HasSubstr("at most"));
    told = app->Run("MisbehaveOnce", {device_.control(), "huge"});
    // Only an operator has so much to say, and that is no message.
    EXPECT_EQ(told.value, app == &root ? EBADMSG : EMSGSIZE) << told.data;
    EXPECT_FALSE(told.data.empty());
    told = app->Run("MisbehaveOnce", {device_.control(), "ended"});
    EXPECT_EQ(told.value, EBADMSG) << told.data;
  }
  // When the rest has not come for as long as a message may take.
  Outcome told = hostile.Run("MisbehaveOnce", {device_.control(), "half"});
  EXPECT_EQ(told.value, ETIMEDOUT) << told.data;
  EXPECT_TRUE(device_.Stop());
}

}  // namespace
}  // namespace fused::androidtest
