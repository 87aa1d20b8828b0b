// Every request has its row, and one without is refused.
#include "fused/opcodes.h"

#include <cerrno>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "fuse_kernel.h"
#include "fused/testing/view_fixture.h"
#include "gtest/gtest.h"
#include "kernel/packet.h"

namespace fused {
namespace {

using kernel::kRootNode;

// Does not compile (-Wswitch) when a newer header has an opcode more: then it
// needs its place here, and its row.
constexpr bool IsRequest(fuse_opcode opcode) {
  switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_FORGET:
    case FUSE_GETATTR:
    case FUSE_SETATTR:
    case FUSE_READLINK:
    case FUSE_SYMLINK:
    case FUSE_MKNOD:
    case FUSE_MKDIR:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_RENAME:
    case FUSE_LINK:
    case FUSE_OPEN:
    case FUSE_READ:
    case FUSE_WRITE:
    case FUSE_STATFS:
    case FUSE_RELEASE:
    case FUSE_FSYNC:
    case FUSE_SETXATTR:
    case FUSE_GETXATTR:
    case FUSE_LISTXATTR:
    case FUSE_REMOVEXATTR:
    case FUSE_FLUSH:
    case FUSE_INIT:
    case FUSE_OPENDIR:
    case FUSE_READDIR:
    case FUSE_RELEASEDIR:
    case FUSE_FSYNCDIR:
    case FUSE_GETLK:
    case FUSE_SETLK:
    case FUSE_SETLKW:
    case FUSE_ACCESS:
    case FUSE_CREATE:
    case FUSE_INTERRUPT:
    case FUSE_BMAP:
    case FUSE_DESTROY:
    case FUSE_IOCTL:
    case FUSE_POLL:
    case FUSE_NOTIFY_REPLY:
    case FUSE_BATCH_FORGET:
    case FUSE_FALLOCATE:
    case FUSE_READDIRPLUS:
    case FUSE_RENAME2:
    case FUSE_LSEEK:
    case FUSE_COPY_FILE_RANGE:
    case FUSE_SETUPMAPPING:
    case FUSE_REMOVEMAPPING:
    case FUSE_SYNCFS:
    case FUSE_TMPFILE:
    case FUSE_STATX:
    case FUSE_COPY_FILE_RANGE_64:
      return true;
    // Of character devices, and byte orders that were given up.
    case CUSE_INIT:
    case CUSE_INIT_BSWAP_RESERVED:
    case FUSE_INIT_BSWAP_RESERVED:
      return false;
  }
  return false;
}

std::set<uint32_t> Requests() {
  std::set<uint32_t> requests;
  for (uint32_t opcode = 0; opcode < 4096; ++opcode) {
    if (IsRequest(static_cast<fuse_opcode>(opcode))) requests.insert(opcode);
  }
  return requests;
}

TEST(OpcodesTest, EveryOpcodeHasARow) {
  ASSERT_EQ(Requests().size(), 51u);
  for (const uint32_t opcode : Requests()) {
    const OpcodeRow* const row = FindOpcode(opcode);
    ASSERT_NE(row, nullptr) << opcode;
    EXPECT_EQ(row->opcode, opcode);
    EXPECT_EQ(row->name, kernel::OpcodeName(opcode));
    EXPECT_FALSE(row->policy.empty()) << row->name;
  }
}

// And those of the header that this system has.
TEST(OpcodesTest, EveryOpcodeOfTheSystemsHeaderHasARow) {
  std::ifstream in("/usr/include/linux/fuse.h");
  ASSERT_TRUE(in.good());
  const std::string text(std::istreambuf_iterator<char>(in), {});
  const size_t begin = text.find("enum fuse_opcode {");
  ASSERT_NE(begin, std::string::npos);
  const std::string body = text.substr(begin, text.find('}', begin) - begin);
  const std::regex line(R"(\b(FUSE_\w+)\s*=\s*(\d+)\s*,)");
  int found = 0;
  for (std::sregex_iterator at(body.begin(), body.end(), line), end; at != end;
       ++at) {
    uint32_t opcode = 0;
    ASSERT_TRUE(absl::SimpleAtoi((*at)[2].str(), &opcode));
    // The byte orders that were given up.
    if (opcode >= 4096) continue;
    ++found;
    const OpcodeRow* const row = FindOpcode(opcode);
    ASSERT_NE(row, nullptr) << (*at)[1];
    EXPECT_EQ("FUSE_" + std::string(row->name), (*at)[1].str());
  }
  EXPECT_GT(found, 40);
}

TEST(OpcodesTest, RowsAreOfOpcodesAndInOrder) {
  const std::set<uint32_t> requests = Requests();
  uint32_t last = 0;
  for (const OpcodeRow& row : OpcodeTable()) {
    EXPECT_TRUE(requests.contains(row.opcode)) << row.name;
    EXPECT_GT(row.opcode, last);
    last = row.opcode;
    EXPECT_EQ(FindOpcode(row.opcode), &row);
  }
  EXPECT_EQ(OpcodeTable().size(), requests.size());
  for (const uint32_t opcode : {0u, 7u, 19u, 63u, 64u, 4096u, UINT32_MAX}) {
    EXPECT_EQ(FindOpcode(opcode), nullptr);
  }
}

class OpcodesViewTest : public ViewTest {};

TEST_F(OpcodesViewTest, WithoutARowIsAnsweredEnosys) {
  MountedView& view = Mount();
  // With and without what might be its structure.
  for (const std::string& body :
       {std::string(), std::string(200, '\0'), std::string(64, '\xff')}) {
    for (uint32_t opcode = 0; opcode <= 300; ++opcode) {
      if (FindOpcode(opcode) != nullptr) continue;
      EXPECT_EQ(view.Call(opcode, kRootNode, body).error, ENOSYS) << opcode;
    }
    for (const uint32_t opcode :
         {uint32_t{CUSE_INIT}, uint32_t{FUSE_INIT_BSWAP_RESERVED},
          UINT32_MAX}) {
      EXPECT_EQ(view.Call(opcode, kRootNode, body).error, ENOSYS) << opcode;
    }
  }
  EXPECT_EQ(view.session().unanswered(), 0u);
}

// What a row says of who answers is so.
TEST_F(OpcodesViewTest, RowsAreAnsweredAsTheySay) {
  MountedView& view = Mount();
  const std::string body(200, '\0');
  // An empty structure, then an attribute's name.
  std::string attribute = body;
  attribute.replace(0, 1, "x").replace(8, 1, "x");
  for (const OpcodeRow& row : OpcodeTable()) {
    switch (row.opcode) {
      // No answer, or no more of them.
      case FUSE_FORGET:
      case FUSE_BATCH_FORGET:
      case FUSE_INTERRUPT:
      case FUSE_NOTIFY_REPLY:
      case FUSE_INIT:
      case FUSE_DESTROY:
        continue;
      default:
        break;
    }
    const bool xattr = row.policy.find("ENOSYS in media") != row.policy.npos;
    const int error =
        view.Call(row.opcode, kRootNode, xattr ? attribute : body).error;
    if (row.served == ServedBy::kNobody || xattr) {
      EXPECT_EQ(error, ENOSYS) << row.name;
    } else {
      EXPECT_NE(error, ENOSYS) << row.name;
    }
  }
  EXPECT_EQ(view.session().unanswered(), 0u);
}

}  // namespace
}  // namespace fused
