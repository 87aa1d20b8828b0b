#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "policy/redaction/testing.h"

namespace fused::policy::redaction {
namespace {

// A film with one track: chunks of samples, the public text between them.
struct Film {
  std::string handler = "meta";
  std::string format = "gpmd";
  std::string description;  // what the format's entry has in it
  std::vector<std::vector<std::string>> chunks;
  bool large_offsets = false;
  bool uniform = false;
  bool small_sizes = false;  // stz2
};

std::string Make(const Film& film) {
  const std::string start = Box("ftyp", "qt  ");
  uint64_t at = start.size() + 8;
  std::string data;
  std::string sizes;
  std::string offsets;
  std::string runs;
  uint32_t samples = 0;
  uint32_t number = 0;
  for (const std::vector<std::string>& chunk : film.chunks) {
    absl::StrAppend(&data, kPublic);
    absl::StrAppend(&offsets,
                    Big(at + data.size(), film.large_offsets ? 8 : 4));
    absl::StrAppend(&runs, Big(++number, 4), Big(chunk.size(), 4), Big(1, 4));
    for (const std::string& sample : chunk) {
      data += sample;
      if (!film.uniform) {
        sizes += Big(sample.size(), film.small_sizes ? 1 : 4);
      }
      ++samples;
    }
  }
  absl::StrAppend(&data, kPublic);
  const uint64_t one = film.uniform ? film.chunks[0][0].size() : 0;
  const std::string table =
      Box("stbl",
          FullBox("stsd", Big(1, 4) + Box(film.format, std::string(8, '\0') +
                                                           film.description)) +
              FullBox("stsc", Big(number, 4) + runs) +
              FullBox(film.small_sizes ? "stz2" : "stsz",
                      Big(film.small_sizes ? 8 : one, 4) + Big(samples, 4) +
                          sizes) +
              FullBox(film.large_offsets ? "co64" : "stco",
                      Big(number, 4) + offsets));
  const std::string media =
      Box("mdia", FullBox("hdlr", Big(0, 4) + film.handler) +
                      Box("minf", FullBox("hdlr", "....alis") + table));
  return start + Box("mdat", data) +
         Box("moov",
             Box("trak", FullBox("tkhd", std::string(20, '\0')) + media));
}

const std::vector<std::vector<std::string>> kSecrets = {
    {std::string(kSecret), std::string(kSecret)},
    {std::string(kSecret)},
    {std::string(kSecret), std::string(kSecret), std::string(kSecret)}};

void ExpectGone(const Film& film) {
  const std::string file = Make(film);
  const std::string view = Redacted(file);
  ASSERT_EQ(view.size(), file.size()) << view << film.format;
  EXPECT_FALSE(Holds(view, kSecret));
  // Nothing but samples.
  size_t changed = 0;
  for (size_t i = 0; i < file.size(); ++i) changed += view[i] != file[i];
  size_t all = 0;
  for (const auto& chunk : film.chunks) {
    for (const std::string& sample : chunk) {
      for (const char c : sample) all += c != 0;
    }
  }
  EXPECT_EQ(changed, all);
}

TEST(SamplesTest, ZeroesThoseOfTimedMetadata) {
  for (const char* format : {"gpmd", "camm", "rtmd", "CTMD", "djmd", "????"}) {
    ExpectGone({.format = format, .chunks = kSecrets});
  }
  for (const char* handler : {"camm", "data", "nmea", "GPS ", "????"}) {
    ExpectGone({.handler = handler, .chunks = kSecrets});
  }
  ExpectGone({.chunks = kSecrets, .large_offsets = true});
  ExpectGone({.chunks = kSecrets, .uniform = true});
  ExpectGone({.chunks = kSecrets, .small_sizes = true});
}

TEST(SamplesTest, LeavesPicturesAndSound) {
  for (const char* handler : {"vide", "soun", "tmcd", "pict"}) {
    EXPECT_EQ(Redacted(Make({.handler = handler, .chunks = kSecrets})), "NONE");
  }
}

TEST(SamplesTest, TellsApplesByTheirKeys) {
  const auto keys = [](std::string_view name) {
    return Box("keys", Box(Big(1, 4), Box("keyd", absl::StrCat("mdta", name))));
  };
  ExpectGone({.format = "mebx",
              .description = keys("com.apple.quicktime.location.ISO6709"),
              .chunks = kSecrets});
  ExpectGone({.format = "mebx", .chunks = kSecrets});
  EXPECT_EQ(Redacted(Make(
                {.format = "mebx",
                 .description = keys("com.apple.quicktime.still-image-time"),
                 .chunks = kSecrets})),
            "NONE");
}

std::string Title(std::string_view text) {
  return absl::StrCat(Big(text.size(), 2), text);
}

TEST(SamplesTest, ReadsText) {
  for (const char* handler : {"text", "sbtl", "subt"}) {
    for (const char* text :
         {"$GPRMC,070809,A,4808.226,N", "GPS(11.57,48.13,17)",
          "[latitude: 48.13]", "Lat: 48.1 Lon: 11.5", "lat=-1",
          "HOME(E: 11.575400, N: 48.137100)", "PNDM...."}) {
      ExpectGone({.handler = handler,
                  .format = "tx3g",
                  .chunks = {{Title("Chapter"), Title(text)}, {Title("end")}}});
    }
    EXPECT_EQ(Redacted(Make({.handler = handler,
                             .format = "tx3g",
                             .chunks = {{Title("A long way, later on")},
                                        {Title("platform 3"), Title("")}}})),
              "NONE");
  }
  ExpectGone({.handler = "meta",
              .format = "mett",
              .chunks = {{"$GPGGA,1,2", std::string(kSecret)}}});
  // No text.
  ExpectGone({.handler = "text", .chunks = {{std::string("\0\xff\xfe", 3)}}});
}

TEST(SamplesTest, RefusesTablesThatDoNotFit) {
  std::string file = Make({.chunks = kSecrets});
  const size_t at = file.find("stsz") + 12;
  EXPECT_EQ(file.substr(at, 4), Big(6, 4));
  file[at + 3] = 7;
  EXPECT_EQ(Redacted(file), "REFUSED");
  file[at + 2] = 7;
  EXPECT_EQ(Redacted(file), "REFUSED");
}

TEST(FragmentsTest, ZeroesThoseOfTimedMetadata) {
  const std::string head =
      Box("ftyp", "iso6") +
      Box("moov",
          Box("trak", FullBox("tkhd", Big(0, 8) + Big(7, 4) + Big(0, 8)) +
                          Box("mdia", FullBox("hdlr", Big(0, 4) + "camm"))) +
              Box("mvex",
                  FullBox("trex", Big(7, 4) + Big(1, 4) + Big(0, 4) +
                                      Big(kSecret.size(), 4) + Big(0, 4))));
  for (const bool sized : {false, true}) {
    std::string run = Big(2, 4) + Big(0, 4);
    if (sized) run += Big(kSecret.size(), 4) + Big(kSecret.size(), 4);
    std::string fragment;
    // The offset counts from the fragment's start, so it is made twice.
    for (int i = 0; i < 2; ++i) {
      const uint64_t data = fragment.size() + 8 + kPublic.size();
      run.replace(4, 4, Big(data, 4));
      fragment = Box(
          "moof", Box("traf", FullBox("tfhd", Big(7, 4), 0x20000) +
                                  FullBox("trun", run, sized ? 0x201 : 0x1)) +
                      Box("traf", FullBox("tfhd", Big(8, 4), 0x20000)));
    }
    const std::string file =
        head + fragment +
        Box("mdat", absl::StrCat(kPublic, kSecret, kSecret, kPublic));
    const std::string view = Redacted(file);
    ASSERT_EQ(view.size(), file.size()) << view;
    EXPECT_FALSE(Holds(view, kSecret));
    const size_t samples = file.find(kSecret);
    EXPECT_EQ(view.substr(0, samples), file.substr(0, samples));
    EXPECT_EQ(view.substr(samples + 2 * kSecret.size()), kPublic);
  }
}

TEST(FragmentsTest, RefusesSamplesThatCannotBeFound) {
  EXPECT_EQ(
      Redacted(Box("ftyp", "iso6") +
               Box("moov",
                   Box("trak", FullBox("tkhd", std::string(20, '\0')) +
                                   Box("mdia", FullBox("hdlr", "....camm")))) +
               Box("moof", Box("traf", FullBox("tfhd", Big(0, 4), 0x20000) +
                                           FullBox("trun", Big(2, 4), 0x0)))),
      "REFUSED");
}

}  // namespace
}  // namespace fused::policy::redaction
