#include "fused/redaction.h"

#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "fused/lower_node.h"
#include "fused/testing/lower_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "kernel/fd.h"
#include "policy/redaction/types.h"

namespace fused {
namespace {

using absl_testing::IsOkAndHolds;

class RedactionTest : public LowerNodeTest {
 protected:
  void SetUp() override {
    LowerNodeTest::SetUp();
    scratch_.MakeFile("a.jpg", std::string(Film().size(), 'x'));
    node_ = Lookup("a.jpg");
  }
  void TearDown() override {
    node_ = nullptr;
    LowerNodeTest::TearDown();
  }

  static std::string Film() {
    using namespace std::string_literals;  // NOLINT(google-*): NULs in it
    return "\0\0\0\x10\146typmp42\0\0\0\0"
           "\0\0\0\x18moov\0\0\0\x10locisecret!!"s;
  }

  kernel::Fd Open(int flags) const {
    return kernel::Fd(open(scratch_.Path("a.jpg").c_str(), flags | O_CLOEXEC));
  }
  bool Hides() {
    const absl::StatusOr<std::shared_ptr<const Redaction>> found =
        FindRedaction(*node_);
    EXPECT_THAT(found, absl_testing::IsOk());
    return found.ok() && (*found)->hides();
  }
  bool Kept() const { return node_->redaction() != nullptr; }

  NodePtr node_;
};

TEST_F(RedactionTest, IsKeptWhileNobodyWrites) {
  EXPECT_FALSE(Hides());
  const std::shared_ptr<const Redaction> kept = node_->redaction();
  ASSERT_NE(kept, nullptr);
  EXPECT_THAT(FindRedaction(*node_), IsOkAndHolds(kept));
}

TEST_F(RedactionTest, EndsWithAWriterThatComesOrGoes) {
  EXPECT_FALSE(Hides());
  node_->AddWriter();
  EXPECT_FALSE(Kept());
  EXPECT_FALSE(Hides());
  EXPECT_FALSE(Kept());
  node_->RemoveWriter();
  EXPECT_FALSE(Kept());
  EXPECT_FALSE(Hides());
  EXPECT_TRUE(Kept());
}

// Begun before the writer came, done after it went.
TEST_F(RedactionTest, IsNotKeptOfAnEarlierTime) {
  const uint64_t writings = node_->writings();
  const auto found = std::make_shared<Redaction>();
  node_->AddWriter();
  EXPECT_FALSE(node_->SetRedaction(found, node_->writings()));
  node_->RemoveWriter();
  EXPECT_FALSE(node_->SetRedaction(found, writings));
  EXPECT_FALSE(Kept());
  EXPECT_TRUE(node_->SetRedaction(found, node_->writings()));
  EXPECT_TRUE(Kept());
}

// Of whom no handle tells.
TEST_F(RedactionTest, IsNotKeptWhileSomebodyElseCanWrite) {
  {
    const kernel::Fd writer = Open(O_RDWR);
    ASSERT_TRUE(writer.valid());
    EXPECT_FALSE(Hides());
    EXPECT_FALSE(Kept());
    ASSERT_EQ(pwrite(writer.get(), Film().data(), Film().size(), 0),
              static_cast<ssize_t>(Film().size()));
    EXPECT_TRUE(Hides());
    EXPECT_FALSE(Kept());
  }
  EXPECT_TRUE(Hides());
  EXPECT_TRUE(Kept());
}

TEST_F(RedactionTest, ReadsTheFileWithoutItsPlace) {
  const kernel::Fd file = Open(O_RDWR);
  ASSERT_EQ(pwrite(file.get(), Film().data(), Film().size(), 0),
            static_cast<ssize_t>(Film().size()));
  std::string read(100, '?');
  EXPECT_THAT(ReadRedacted(*node_, file.get(), 0, absl::MakeSpan(read)),
              IsOkAndHolds(Film().size()));
  EXPECT_EQ(read.find("secret"), std::string::npos);
  EXPECT_EQ(read.substr(0, 28), Film().substr(0, 28));
  EXPECT_THAT(ReadRedacted(*node_, file.get(), 1000, absl::MakeSpan(read)),
              IsOkAndHolds(0U));
}

}  // namespace
}  // namespace fused
