// What a lower node is made of.
#include "fused/lower_node_parts.h"

#include <cstring>
#include <string>

#include "gtest/gtest.h"
#include "kernel/lower.h"

namespace fused {
namespace {

kernel::FileHandle HandleOf(int type, uint32_t size) {
  kernel::FileHandle handle;
  handle.type = type;
  handle.size = size;
  for (uint32_t i = 0; i < size; ++i) {
    handle.bytes[i] = static_cast<unsigned char>(i + size);
  }
  return handle;
}

TEST(SmallHandleTest, KeepsEveryHandleThatThereIs) {
  for (const int type : {0, 1, 0x81, 0xff, 0x100, -1, 0x10001}) {
    for (uint32_t size = 0; size <= kernel::FileHandle::kMaxBytes; ++size) {
      SmallHandle small;
      EXPECT_FALSE(small.has_value());
      small.Set(HandleOf(type, size));
      ASSERT_TRUE(small.has_value());
      EXPECT_TRUE(small.value() == HandleOf(type, size)) << type << " " << size;
      // Over a longer and a shorter one.
      small.Set(HandleOf(type, kernel::FileHandle::kMaxBytes));
      small.Set(HandleOf(1, 8));
      EXPECT_TRUE(small.value() == HandleOf(1, 8));
    }
  }
}

TEST(SmallNameTest, KeepsWhatItWasGivenLast) {
  SmallName name;
  EXPECT_EQ(name.view(), "");
  for (const std::string& text : {std::string("a"), std::string(255, 'n'),
                                  std::string("bcd"), std::string()}) {
    name.Set(text);
    EXPECT_EQ(name.view(), text);
  }
}

TEST(StandingTest, IsTheSameWhereAllThatItHasIs) {
  policy::Location location;
  location.state = 3;
  location.capture[1] = 7;
  location.depth = 2;
  policy::Object object;
  object.path_class = 4;
  const Standing standing(1, 2, location, object);
  policy::Location hidden = location;
  hidden.hidden = hidden.dotted = true;
  EXPECT_TRUE(standing.Same(Standing(1, 2, hidden, object)));
  EXPECT_FALSE(standing.location.hidden);

  EXPECT_FALSE(standing.Same(Standing(2, 2, location, object)));
  EXPECT_FALSE(standing.Same(Standing(1, 1, location, object)));
  policy::Location other = location;
  other.state = 4;
  EXPECT_FALSE(standing.Same(Standing(1, 2, other, object)));
  other = location;
  other.user = 10;
  EXPECT_FALSE(standing.Same(Standing(1, 2, other, object)));
  other = location;
  other.depth = 3;
  EXPECT_FALSE(standing.Same(Standing(1, 2, other, object)));
  other = location;
  other.capture[0] = 7;
  EXPECT_FALSE(standing.Same(Standing(1, 2, other, object)));
  policy::Object made = object;
  made.path_class = 5;
  EXPECT_FALSE(standing.Same(Standing(1, 2, location, made)));
  made = object;
  made.path_owner = 1;
  EXPECT_FALSE(standing.Same(Standing(1, 2, location, made)));
  made = object;
  made.user = 10;
  EXPECT_FALSE(standing.Same(Standing(1, 2, location, made)));
}

}  // namespace
}  // namespace fused
