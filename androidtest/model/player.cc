#include "androidtest/model/player.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "androidtest/harness/files.h"
#include "androidtest/model/cast.h"
#include "proto/control.pb.h"

namespace fused::androidtest::model {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

Result From(const Outcome& outcome) {
  Result result;
  result.errors = {outcome.ok() ? 0 : outcome.error};
  return result;
}

Result From(const File& file) {
  Result result;
  result.errors = {file.ok() ? 0 : file.error()};
  return result;
}

int Connect(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return -1;
  memcpy(address.sun_path, path.data(), path.size());
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);
  if (connect(fd, generic, sizeof(address)) == 0) return fd;
  close(fd);
  return -1;
}

bool Receive(int fd, char* buffer, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = recv(fd, buffer + done, size - done, 0);
    if (n <= 0) return false;
    done += static_cast<size_t>(n);
  }
  return true;
}

// As `fusedctl sync`.
bool Sync(int fd) {
  control::v1::Request request;
  request.mutable_sync();
  const std::string body = request.SerializeAsString();
  uint32_t length = htonl(static_cast<uint32_t>(body.size()));
  std::string frame(reinterpret_cast<const char*>(&length), sizeof(length));
  frame += body;
  if (send(fd, frame.data(), frame.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(frame.size())) {
    return false;
  }
  if (!Receive(fd, reinterpret_cast<char*>(&length), sizeof(length))) {
    return false;
  }
  std::string answer(ntohl(length), '\0');
  control::v1::Response response;
  return Receive(fd, answer.data(), answer.size()) &&
         response.ParseFromString(answer) && response.has_sync();
}

std::optional<std::string> Compare(const std::string& path, const Node& node) {
  if (!node.directory) {
    const std::string content = ReadFile(path);
    if (content == node.content) return std::nullopt;
    return absl::StrCat("below, ", path, " holds \"", content, "\" and not \"",
                        node.content, "\"");
  }
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    ++count;
    const auto child = node.children.find(entry.path().filename());
    if (child == node.children.end() ||
        child->second->directory != entry.is_directory()) {
      return absl::StrCat("below there is ", entry.path().string());
    }
    std::optional<std::string> difference =
        Compare(entry.path(), *child->second);
    if (difference.has_value()) return difference;
  }
  if (count == node.children.size()) return std::nullopt;
  return absl::StrCat("below there are ", count, " names in ", path,
                      ", and not ", node.children.size());
}

}  // namespace

Player::Player() : device_({.packages = CastPackages()}) {
  for (const std::string& path : World::FirstDirectories()) {
    EXPECT_TRUE(MakeDirectories(device_.LowerPath(path)));
  }
  EXPECT_TRUE(device_.Start());
  control_ = Connect(device_.control());
}

Player::~Player() {
  if (control_ >= 0) close(control_);
}

bool Player::Stop() {
  held_.clear();
  apps_.clear();
  return device_.Stop();
}

const App& Player::As(int actor, View view) {
  const std::pair<int, View> key(actor, view);
  auto found = apps_.find(key);
  if (found == apps_.end()) {
    const Actor& who = Cast()[actor];
    App app = who.package.empty() ? device_.LaunchUid(who.uid)
                                  : device_.Launch(who.package, view);
    found = apps_.emplace(key, std::move(app)).first;
  }
  return found->second;
}

bool Player::Tell(const Step& step) {
  // All who use the shared view share one kernel's memory.
  const std::pair<int, View> who(step.view == View::kShared ? -1 : step.actor,
                                 step.view);
  if (changed_by_.has_value() && changed_by_ != who) {
    if (!Sync(control_)) return false;
  }
  changed_by_ = who;
  return true;
}

std::optional<std::string> Player::Play(const Step& step) {
  if (world_.IsUnclear(step) || world_.IsNothing(step)) return std::nullopt;
  if (!Tell(step)) return "the daemon does not answer";
  const Result expected = world_.Do(step);
  const Result seen = Act(step);
  if (Fits(expected, seen)) return std::nullopt;
  return absl::StrCat(ToString(step), "\n    expected: ", ToString(expected),
                      "\n    seen:     ", ToString(seen));
}

std::optional<std::string> Player::CompareLower() const {
  return Compare(device_.lower(), world_.root());
}

Result Player::Open(const App& app, const Step& step, int flags) {
  const File file = app.Open(step.path, flags);
  Result result = From(file);
  if (!file.ok()) return result;
  const Action action = step.action;
  if (action == Action::kRead || action == Action::kReadAndWrite) {
    result.data = file.ReadAt(0, 4096).data;
  }
  if (action != Action::kRead && action != Action::kTruncatingRead) {
    const Outcome written = file.Write(step.text);
    if (written.value != static_cast<int64_t>(step.text.size())) {
      return From(written);
    }
  }
  return result;
}

Result Player::OnHeld(const Step& step) {
  const std::pair<int, View> key(step.actor, step.view);
  const auto held = held_.find(key);
  if (held == held_.end()) return {};
  Result result;
  if (step.action == Action::kLetGo) {
    held_.erase(held);
  } else if (step.action == Action::kReadHeld) {
    const Outcome outcome = held->second.ReadAt(0, 4096);
    result = From(outcome);
    result.data = outcome.data;
  } else {
    result = From(held->second.WriteAt(0, step.text));
  }
  return result;
}

Result Player::Act(const Step& step) {
  const App& app = As(step.actor, step.view);
  const std::string& path = step.path;
  switch (step.action) {
    case Action::kStat: {
      const Outcome outcome = app.Stat(path);
      Result result = From(outcome);
      result.size = outcome.attributes.size();
      result.modified =
          static_cast<int>(outcome.attributes.modified() / kSecond);
      return result;
    }
    case Action::kList: {
      const Outcome outcome = app.List(path);
      Result result = From(outcome);
      result.names = outcome.names;
      return result;
    }
    case Action::kAccess:
      return From(app.Access(path, step.flags));
    case Action::kRead:
      return Open(app, step, O_RDONLY);
    case Action::kWrite:
      return Open(app, step, O_WRONLY);
    case Action::kReadAndWrite:
      return Open(app, step, O_RDWR);
    case Action::kAppend:
      return Open(app, step, O_WRONLY | O_APPEND);
    case Action::kTruncatingRead:
      return Open(app, step, O_RDONLY | O_TRUNC);
    case Action::kCreate:
      return Open(app, step, O_WRONLY | O_CREAT | O_EXCL);
    case Action::kOpenOrCreate:
      return Open(app, step, O_RDWR | O_CREAT);
    case Action::kTruncate:
      return From(app.Truncate(path, step.number));
    case Action::kSetTimes:
      return From(app.SetTimes(path, step.number * kSecond));
    case Action::kChangeMode:
      return From(app.ChangeMode(path, 0600));
    case Action::kMakeNode:
      return From(app.MakeNode(path, S_IFREG | 0600));
    case Action::kMakeDirectory:
      return From(app.MakeDirectory(path));
    case Action::kRemoveDirectory:
      return From(app.RemoveDirectory(path));
    case Action::kUnlink:
      return From(app.Unlink(path));
    case Action::kRename:
      return From(app.Rename(path, step.target, step.flags));
    case Action::kLink:
      return From(app.Link(path, step.target));
    case Action::kSymlink:
      return From(app.Symlink("target", path));
    case Action::kHold: {
      File file = app.Open(path, step.flags);
      Result result = From(file);
      if (file.ok()) {
        held_.insert_or_assign({step.actor, step.view}, std::move(file));
      }
      return result;
    }
    case Action::kReadHeld:
    case Action::kWriteHeld:
    case Action::kLetGo:
      return OnHeld(step);
  }
  return {};
}

std::optional<std::pair<size_t, std::string>> PlayAll(
    const std::vector<Step>& steps) {
  Player player;
  for (size_t i = 0; i < steps.size(); ++i) {
    std::optional<std::string> difference = player.Play(steps[i]);
    if (difference.has_value()) return std::pair(i, *difference);
  }
  std::optional<std::string> difference = player.CompareLower();
  if (!difference.has_value()) return std::nullopt;
  return std::pair(steps.size(), *difference);
}

std::vector<Step> Shrink(std::vector<Step> steps) {
  // A replay of the whole takes half a second, and they get shorter.
  int replays = 600;
  for (size_t size = steps.size() / 2; size > 0; size /= 2) {
    for (size_t i = 0; i < steps.size() && --replays > 0;) {
      std::vector<Step> fewer = steps;
      const auto begin = fewer.begin() + static_cast<ptrdiff_t>(i);
      const size_t end = std::min(i + size, fewer.size());
      fewer.erase(begin, fewer.begin() + static_cast<ptrdiff_t>(end));
      const auto failure = PlayAll(fewer);
      if (!failure.has_value()) {
        i += size;
        continue;
      }
      // What comes after the difference matters no more.
      fewer.resize(std::min(fewer.size(), failure->first + 1));
      steps = std::move(fewer);
    }
  }
  return steps;
}

}  // namespace fused::androidtest::model
