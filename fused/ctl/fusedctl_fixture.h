// Runs fusedctl against a server with a fake backend, for tests.
#ifndef FUSED_FUSED_CTL_FUSEDCTL_FIXTURE_H_
#define FUSED_FUSED_CTL_FUSEDCTL_FIXTURE_H_

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "fused/control/fake_backend.h"
#include "fused/control/server.h"
#include "gtest/gtest.h"

namespace fused::ctl {

struct Result {
  int code = -1;
  std::string out;
  std::string err;
};

class FusedctlTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/fused_ctl_XXXXXX";
    ASSERT_NE(nullptr, mkdtemp(pattern.data()));
    directory_ = pattern;
    options_.socket = directory_ + "/control.sock";
  }

  void TearDown() override {
    server_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  void Start() {
    auto server = control::Server::Start(options_, &backend_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::string Write(const std::string& name, const std::string& content) {
    std::string path = absl::StrCat(directory_, "/", name);
    std::ofstream(path) << content;
    return path;
  }

  std::string Read(const std::string& name) {
    std::ifstream in(absl::StrCat(directory_, "/", name));
    return {std::istreambuf_iterator<char>(in), {}};
  }

  Result Run(std::vector<std::string> args) {
    args.insert(args.begin(),
                {"fused/fusedctl", "--control=" + options_.socket});
    const std::string out = directory_ + "/out";
    const std::string err = directory_ + "/err";
    std::vector<char*> argv;
    argv.reserve(args.size() + 1);
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    const pid_t child = fork();
    if (child == 0) {
      dup2(open(out.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644), 1);
      dup2(open(err.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644), 2);
      execv(argv[0], argv.data());
      _exit(200);
    }
    int status = 0;
    EXPECT_EQ(child, waitpid(child, &status, 0));
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status),
            Read("out"), Read("err")};
  }

  std::string directory_;
  control::Server::Options options_;
  control::FakeBackend backend_;
  std::unique_ptr<control::Server> server_;
};

}  // namespace fused::ctl

#endif  // FUSED_FUSED_CTL_FUSEDCTL_FIXTURE_H_
