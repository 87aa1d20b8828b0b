// Reading a directory from anywhere in it.
#include "fused/directory_reader.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status_matchers.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "kernel/fd.h"
#include "kernel/testing/scratch.h"

namespace fused {
namespace {

using ::absl_testing::IsOk;

constexpr int kNames = 5000;

struct Entry {
  std::string name;
  off_t next = 0;
};

class DirectoryReaderTest : public testing::Test {
 protected:
  // Opens the scratch directory.
  DirectoryReader Open() const {
    return DirectoryReader(kernel::Fd(
        open(scratch_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)));
  }

  void MakeFiles(int count) {
    for (int i = 0; i < count; ++i) {
      scratch_.MakeFile(absl::StrCat("file-", i), "");
    }
  }

  // All that is left.
  static std::vector<Entry> ReadAll(DirectoryReader& reader) {
    std::vector<Entry> all;
    while (true) {
      const absl::StatusOr<DirectoryName> name = reader.Peek();
      EXPECT_THAT(name, IsOk());
      if (!name.ok() || name->name == nullptr) return all;
      all.push_back({name->name, name->next});
      reader.Pop();
    }
  }

  static std::set<std::string> Names(const std::vector<Entry>& entries) {
    std::set<std::string> names;
    for (const Entry& entry : entries) names.insert(entry.name);
    return names;
  }

  // The name that stands next.
  static std::string Next(DirectoryReader& reader) {
    const absl::StatusOr<DirectoryName> name = reader.Peek();
    EXPECT_THAT(name, IsOk());
    return name.ok() && name->name != nullptr ? name->name : "";
  }

  kernel::ScratchDirectory scratch_;
};

TEST_F(DirectoryReaderTest, AnEmptyDirectoryHasItsDots) {
  DirectoryReader reader = Open();
  EXPECT_EQ(Names(ReadAll(reader)), (std::set<std::string>{".", ".."}));
  // The end stays the end.
  EXPECT_EQ(Next(reader), "");
  reader.Pop();
  EXPECT_EQ(Next(reader), "");
}

TEST_F(DirectoryReaderTest, GivesEachNameOnce) {
  MakeFiles(kNames);
  DirectoryReader reader = Open();
  const std::vector<Entry> all = ReadAll(reader);
  EXPECT_EQ(all.size(), size_t{kNames} + 2);
  const std::set<std::string> names = Names(all);
  EXPECT_EQ(names.size(), all.size());
  for (int i = 0; i < kNames; ++i) {
    EXPECT_TRUE(names.contains(absl::StrCat("file-", i))) << i;
  }
}

TEST_F(DirectoryReaderTest, PeekStaysUntilPop) {
  MakeFiles(3);
  DirectoryReader reader = Open();
  const std::string first = Next(reader);
  EXPECT_EQ(Next(reader), first);
  reader.Pop();
  EXPECT_NE(Next(reader), first);
}

TEST_F(DirectoryReaderTest, ResumesAtAnyOffset) {
  MakeFiles(kNames);
  DirectoryReader reader = Open();
  const std::vector<Entry> all = ReadAll(reader);
  // Forwards and backwards, in the buffer and beyond it.
  for (size_t i = 0; i < all.size(); i += 7) {
    const size_t at = i % 2 == 0 ? i : all.size() - 1 - i;
    ASSERT_THAT(reader.Seek(all[at].next), IsOk());
    EXPECT_EQ(Next(reader), at + 1 < all.size() ? all[at + 1].name : "") << at;
  }
  // A reader that has read nothing finds the place too.
  DirectoryReader other = Open();
  ASSERT_THAT(other.Seek(all[1234].next), IsOk());
  std::vector<Entry> rest = ReadAll(other);
  ASSERT_EQ(rest.size(), all.size() - 1235);
  for (size_t i = 0; i < rest.size(); ++i) {
    ASSERT_EQ(rest[i].name, all[1235 + i].name);
  }
}

TEST_F(DirectoryReaderTest, SeekToWhereItIsKeepsTheBuffer) {
  MakeFiles(10);
  DirectoryReader reader = Open();
  const std::string first = Next(reader);
  reader.Pop();
  const absl::StatusOr<DirectoryName> second = reader.Peek();
  ASSERT_THAT(second, IsOk());
  const std::string name = second->name;
  const off_t after = second->next;
  reader.Pop();
  // What was added since does not disturb: the buffer is still in use.
  scratch_.MakeFile("later", "");
  ASSERT_THAT(reader.Seek(after), IsOk());
  EXPECT_NE(Next(reader), name);
  EXPECT_NE(Next(reader), first);
}

TEST_F(DirectoryReaderTest, TheStartReadsAgain) {
  MakeFiles(2);
  DirectoryReader reader = Open();
  EXPECT_EQ(ReadAll(reader).size(), 4u);
  scratch_.MakeFile("later", "");
  // As rewinddir(3): what is new is seen.
  ASSERT_THAT(reader.Seek(0), IsOk());
  EXPECT_TRUE(Names(ReadAll(reader)).contains("later"));
  ASSERT_THAT(reader.Seek(0), IsOk());
  EXPECT_EQ(ReadAll(reader).size(), 5u);
}

TEST_F(DirectoryReaderTest, TellsTypes) {
  scratch_.MakeFile("file", "");
  scratch_.MakeDirectory("directory");
  ASSERT_EQ(symlink("nowhere", scratch_.Path("link").c_str()), 0);
  const std::map<std::string, unsigned char> expected = {
      {"file", DT_REG}, {"directory", DT_DIR}, {"link", DT_LNK}};
  DirectoryReader reader = Open();
  std::map<std::string, unsigned char> found;
  while (true) {
    const absl::StatusOr<DirectoryName> name = reader.Peek();
    ASSERT_THAT(name, IsOk());
    if (name->name == nullptr) break;
    struct stat stat = {};
    ASSERT_EQ(lstat(scratch_.Path(name->name).c_str(), &stat), 0);
    if (expected.contains(name->name)) {
      EXPECT_EQ(name->inode, stat.st_ino);
      if (name->type != DT_UNKNOWN) found[name->name] = name->type;
    }
    reader.Pop();
  }
  if (!found.empty()) {
    EXPECT_EQ(found, expected);
  }
}

TEST_F(DirectoryReaderTest, NonsenseIsAnErrorAndNoMore) {
  MakeFiles(3);
  DirectoryReader reader = Open();
  const std::string first = Next(reader);
  EXPECT_FALSE(reader.Seek(-1).ok());
  EXPECT_EQ(Next(reader), first);
  scratch_.MakeFile("plain", "");
  DirectoryReader file(
      kernel::Fd(open(scratch_.Path("plain").c_str(), O_RDONLY | O_CLOEXEC)));
  EXPECT_FALSE(file.Peek().ok());
  // Nothing to take.
  file.Pop();
  DirectoryReader closed((kernel::Fd()));
  EXPECT_FALSE(closed.Seek(0).ok());
  EXPECT_FALSE(closed.Peek().ok());
}

}  // namespace
}  // namespace fused
