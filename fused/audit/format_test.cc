#include "fused/audit/format.h"

#include <cerrno>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fused::audit {
namespace {

using testing::Contains;

Event Denial() {
  Event event;
  event.time = 1700000000123456789;
  event.kind = v1::Record::DENY;
  event.uid = 10061;
  event.epoch = 7;
  event.error = ENOENT;
  event.operation = "LOOKUP";
  event.package = "com.example.camera";
  event.rule = "private";
  event.path_class = "data";
  event.path = "Android/data/com.example.music/x";
  return event;
}

TEST(FormatTest, ARecordIsALine) {
  const std::string line = ToLine(ToRecord(Denial(), 12));
  EXPECT_EQ(line,
            "{\"time\":\"2023-11-14T22:13:20.123456789Z\",\"kind\":\"DENY\","
            "\"epoch\":\"7\",\"rule\":\"private\",\"operation\":\"LOOKUP\","
            "\"uid\":10061,\"package\":\"com.example.camera\","
            "\"path\":\"Android/data/com.example.music/x\","
            "\"path_class\":\"data\",\"error\":\"ENOENT\","
            "\"count\":\"12\"}\n");
  EXPECT_EQ(FromLine(line)->SerializeAsString(),
            ToRecord(Denial(), 12).SerializeAsString());
}

TEST(FormatTest, NoNameMakesALineOfItsOwn) {
  for (const std::string& name :
       {std::string("a\nb\"c\\"), std::string("\xff\xfe"),
        std::string("\xc3\x28"), std::string("\xe2\x82"),
        std::string("\xed\xa0\x80"), std::string("\xf5\x80\x80\x80"),
        std::string("nul\0l", 5), std::string("\x1b[31m")}) {
    Event event = Denial();
    event.path = name;
    const std::string line = ToLine(ToRecord(event, 1));
    EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
    ASSERT_TRUE(FromLine(line).has_value()) << line;
    EXPECT_FALSE(FromLine(line)->path().empty());
  }
}

TEST(FormatTest, ALongNameIsCutBetweenCharacters) {
  Event event = Denial();
  std::string path(1023, 'a');
  path += "\xc3\xa4";
  event.path = path;
  EXPECT_EQ(ToRecord(event, 1).path(), std::string(1023, 'a') + "...");
}

TEST(FormatTest, WhatIsNoRecordIsNone) {
  EXPECT_FALSE(FromLine("").has_value());
  EXPECT_FALSE(FromLine("{\"time\":").has_value());
  EXPECT_FALSE(FromLine("[]").has_value());
  // Of a later version.
  EXPECT_TRUE(FromLine("{\"kind\":\"DENY\",\"other\":1}").has_value());
}

TEST(FormatTest, TheJournalsFields) {
  const auto fields = ToJournal(ToRecord(Denial(), 12));
  EXPECT_THAT(fields, Contains("FUSED_KIND=DENY"));
  EXPECT_THAT(fields, Contains("FUSED_UID=10061"));
  EXPECT_THAT(fields, Contains("FUSED_PATH=Android/data/com.example.music/x"));
  EXPECT_THAT(fields, Contains("FUSED_COUNT=12"));
  EXPECT_THAT(fields, Contains("PRIORITY=6"));
  EXPECT_THAT(fields,
              Contains("MESSAGE=DENY LOOKUP uid 10061 (com.example.camera) "
                       "Android/data/com.example.music/x: ENOENT, rule "
                       "private, 12 times"));
  v1::Record push;
  push.set_kind(v1::Record::PUSH);
  push.set_message("POLICY accepted");
  EXPECT_THAT(ToJournal(push), Contains("PRIORITY=5"));
  push.set_uid(1000);
  EXPECT_THAT(ToJournal(push),
              Contains("MESSAGE=PUSH uid 1000: POLICY accepted"));
  v1::Record state;
  state.set_kind(v1::Record::STATE);
  state.set_message("the daemon serves");
  EXPECT_THAT(ToJournal(state), Contains("MESSAGE=STATE: the daemon serves"));
  state.set_message("a view came");
  state.set_package("com.example.camera");
  state.set_uid(10061);
  EXPECT_THAT(ToJournal(state),
              Contains("MESSAGE=STATE uid 10061 (com.example.camera): a view "
                       "came"));
}

}  // namespace
}  // namespace fused::audit
