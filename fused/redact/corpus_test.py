#!/usr/bin/env python3
"""Redaction against ordinary tools.

Makes pictures and films, writes a location into them in all the ways that
exiftool and ffmpeg know, and looks at the redacted copy: exiftool finds no
location in it, reads everything else as before, and readers open it. Every
byte is the one it was, or zero.

    corpus_test REDACT
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True  # the directory is the source tree
sys.path.append(os.path.abspath("third_party/tools"))  # of the runfiles

import cases

REDACT = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else ""
TOOLS = ["exiftool", "ffmpeg", "ffprobe", "heif-enc", "heif-convert", "webpmux"]
# By path: a workplace may have its own of that name.
CONVERT = "/usr/bin/convert"

EXIF = ["-GPSLatitude=48.1371", "-GPSLatitudeRef=N", "-GPSLongitude=11.5754",
        "-GPSLongitudeRef=E", "-GPSAltitude=519.5", "-GPSAltitudeRef=0",
        "-GPSDateStamp=2024:05:06", "-GPSTimeStamp=07:08:09",
        "-GPSProcessingMethod=NETWORK", "-GPSAreaInformation=Marienplatz",
        "-GPSImgDirection=180", "-GPSImgDirectionRef=T", "-GPSMapDatum=WGS-84",
        "-GPSDestLatitude=48.2", "-GPSDestLongitude=11.6", "-GPSSpeed=3"]
EXIF_ELSE = ["-Make=Maker", "-Model=Model 3", "-Artist=Somebody",
             "-DateTimeOriginal=2024:05:06 07:08:09", "-UserComment=A comment",
             "-FNumber=2.8", "-ISO=200", "-SubjectLocation=10 20"]
XMP = ["-XMP-exif:GPSLatitude=48.1371", "-XMP-exif:GPSLongitude=11.5754",
       "-XMP-exif:GPSAltitude=519.5", "-XMP-photoshop:City=Munich",
       "-XMP-photoshop:State=Bavaria", "-XMP-photoshop:Country=Germany",
       "-XMP-iptcCore:Location=Marienplatz", "-XMP-iptcCore:CountryCode=DE",
       "-XMP-iptcExt:LocationShownCity=Munich",
       "-XMP-iptcExt:LocationShownGPSLatitude=48.1371",
       "-XMP-iptcExt:LocationCreatedSublocation=Marienplatz"]
XMP_ELSE = ["-XMP-dc:Title=A title", "-XMP-dc:Subject=one",
            "-XMP-dc:Subject=two", "-XMP-xmp:Rating=3",
            "-XMP-exif:SubjectLocation=10", "-XMP-photoshop:Headline=Head"]
IPTC = ["-IPTC:City=Munich", "-IPTC:Sub-location=Marienplatz",
        "-IPTC:Province-State=Bavaria",
        "-IPTC:Country-PrimaryLocationName=Germany",
        "-IPTC:Country-PrimaryLocationCode=DEU",
        "-IPTC:ContentLocationName=Munich", "-IPTC:ContentLocationCode=DEU"]
IPTC_ELSE = ["-IPTC:Headline=Head", "-IPTC:Keywords=one", "-IPTC:Keywords=two"]
# A checksum that exiftool makes of all IPTC there is.
DIGEST = "CurrentIPTCDigest"
COORDINATES = "48.1371, 11.5754, 519.5"


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False, **options)
    if done.returncode != 0:
        raise AssertionError("%s: %s" % (" ".join(command),
                                         done.stderr.decode("utf8", "replace")))
    return done.stdout.decode("utf8", "replace")


def tags(name):
    """What exiftool reads: locations and all else, each as sorted lines."""
    lines = run("exiftool", "-ee", "-a", "-s", "-G1:2", "--System:all", name)
    location, other = [], []
    for line in lines.splitlines():
        head, _, value = line.partition(": ")
        group, tag = (part.strip() for part in head.split("]"))
        # The wholes that exiftool makes of parts are compared as those.
        if "Location" in group or "GPS" in tag or "Geo" in tag:
            location.append((head, value.strip(" \0.")))
        elif not group.startswith("[Composite") and tag != DIGEST:
            other.append(line)
    return sorted(location), sorted(other)


class Corpus(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        missing = [tool for tool in TOOLS if not shutil.which(tool)]
        assert not missing, "not installed: %s" % missing
        cls.dir = tempfile.mkdtemp(dir=os.environ.get("TEST_TMPDIR"))
        cls.made = 0
        picture = cls.path("base.png")
        run(CONVERT, "-size", "96x64", "plasma:red-blue", "-depth", "8",
            picture)
        for name in ("base.jpg", "base.tiff", "base.webp"):
            run(CONVERT, picture, cls.path(name))
        run("heif-enc", picture, "-o", cls.path("base.heic"))
        run("heif-enc", "-A", picture, "-o", cls.path("base.avif"))
        for name in ("base.mp4", "base.mov", "base.3gp", "base.avi"):
            cls.film(name)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.dir, name)

    @classmethod
    def film(cls, name, *options):
        size = "176x144"  # which H.263 takes
        run("ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i",
            "testsrc=size=%s:rate=5:duration=1" % size,
            *options, "-c:v", "h263" if name.endswith("3gp") else "mpeg4",
            cls.path(name))
        return cls.path(name)

    def tagged(self, base, *arguments):
        """A copy of a file with tags written into it."""
        Corpus.made += 1
        name = self.path("%d%s" % (Corpus.made, os.path.splitext(base)[1]))
        run("exiftool", "-q", "-q", *arguments, "-o", name, self.path(base))
        return name

    def redacted(self, name):
        out = os.path.join(self.dir, "out_" + os.path.basename(name))
        said = run(REDACT, name, out)
        self.assertIn("RANGES", said)
        before = open(name, "rb").read()
        after = open(out, "rb").read()
        self.assertEqual(len(before), len(after))
        self.assertTrue(all(b in (0, a) for a, b in zip(before, after)))
        return out

    def check(self, name, reader=None, least=1):
        """The whole promise, for one file."""
        location, other = tags(name)
        self.assertGreaterEqual(len(location), least, "nothing to be redacted")
        out = self.redacted(name)
        location_left, other_left = tags(out)
        self.assertEqual([one for one in location_left if one[1]], [])
        self.assertEqual(other, other_left)
        self.opens(name, out, reader)

    def opens(self, before, after, reader):
        if reader is None:
            one = run(CONVERT, before, "-depth", "8", "rgb:-", errors=None)
            other = run(CONVERT, after, "-depth", "8", "rgb:-", errors=None)
            self.assertEqual(one, other)
        elif reader == "ffmpeg":
            frames = ["-select_streams", "v", "-show_entries", "stream=nb_read_frames,codec_name,width",
                      "-count_frames", "-v", "quiet"]
            one = run("ffprobe", *frames, before)
            self.assertEqual(one, run("ffprobe", *frames, after))
            self.assertIn("nb_read_frames=5", one)
        elif reader == "heif":
            pictures = []
            for name in (before, after):
                run("heif-convert", "-q", "100", name, name + ".png")
                pictures.append(run(CONVERT, name + ".png", "rgb:-"))
            self.assertEqual(*pictures)

    def check_picture(self, base, reader, *kinds):
        everything = []
        for kind in kinds:
            with self.subTest(base=base, kind=kind[0][0]):
                self.check(self.tagged(base, *kind[0], *kind[1]), reader)
            everything += kind[0] + kind[1]
        with self.subTest(base=base, kind="all"):
            self.check(self.tagged(base, *everything), reader)
        with self.subTest(base=base, kind="none"):
            name = self.tagged(base, *[tag for kind in kinds for tag in kind[1]])
            self.assertEqual(run(REDACT, name, name + ".out"), "NONE\n")

    ALL = [(EXIF, EXIF_ELSE), (XMP, XMP_ELSE), (IPTC, IPTC_ELSE)]

    def test_jpeg(self):
        self.check_picture("base.jpg", None, *self.ALL)

    def test_jpeg_big_endian(self):
        self.check(self.tagged("base.jpg", "-ExifByteOrder=MM", *EXIF,
                               *EXIF_ELSE))

    def test_jpeg_extended_xmp(self):
        with open(self.path("long.txt"), "w") as out:
            out.write("long " * 30000)
        description = "-XMP-dc:Description<=" + self.path("long.txt")
        name = self.tagged("base.jpg", description, *XMP, *XMP_ELSE)
        self.assertIn(b"http://ns.adobe.com/xmp/extension/",
                      open(name, "rb").read())
        self.check(name)

    def test_jpeg_compact_xmp(self):
        self.check(self.tagged("base.jpg", "-api", "Compact=Shorthand", *XMP,
                               *XMP_ELSE))

    def test_jpeg_with_preview(self):
        thumbnail = self.tagged("base.jpg", *EXIF, *EXIF_ELSE)
        self.check(self.tagged("base.jpg", "-ThumbnailImage<=" + thumbnail,
                               *EXIF, *EXIF_ELSE))

    def test_jpeg_with_film_behind_it(self):
        picture = self.tagged("base.jpg", *EXIF, *EXIF_ELSE)
        film = self.tagged("base.mp4", "-UserData:GPSCoordinates=" + COORDINATES)
        with open(picture, "ab") as out:
            out.write(open(film, "rb").read())
        out = self.redacted(picture)
        self.assertNotIn(b"+48.13", open(out, "rb").read())
        self.opens(picture, out, None)

    def test_jpeg_with_second_picture(self):
        picture = self.tagged("base.jpg", *EXIF_ELSE)
        second = self.tagged("base.jpg", *EXIF, *XMP, *IPTC)
        with open(picture, "ab") as out:
            out.write(bytes(24) + open(second, "rb").read())
        out = self.redacted(picture)
        left = self.path("second.jpg")
        with open(left, "wb") as file:
            file.write(open(out, "rb").read()[-os.path.getsize(second):])
        location, _ = tags(left)
        self.assertEqual([one for one in location if one[1]], [])

    def test_tiff(self):
        self.check_picture("base.tiff", None, *self.ALL)

    def test_tiff_pages(self):
        pages = [self.tagged("base.tiff", *EXIF, *EXIF_ELSE) for _ in range(2)]
        name = self.path("pages.tiff")
        run("exiftool", "-q", "-q", "-o", name, *EXIF, *EXIF_ELSE, pages[0])
        self.check(name)

    def test_dng(self):
        name = self.tagged("base.tiff", "-DNGVersion=1.4.0.0",
                           "-UniqueCameraModel=Model 3", *EXIF, *EXIF_ELSE,
                           *XMP)
        dng = name + ".dng"
        os.rename(name, dng)
        self.check(dng, "exiftool")

    def test_png(self):
        self.check_picture("base.png", None, (EXIF, EXIF_ELSE), (XMP, XMP_ELSE))

    def test_png_text(self):
        name = self.path("text.png")
        run(CONVERT, self.path("base.png"), "-set", "exif:GPSLatitude", "48/1",
            "-set", "Location", "Munich", "-set", "Comment", "stays", name)
        out = self.redacted(name)
        content = open(out, "rb").read()
        self.assertNotIn(b"48/1", content)
        self.assertNotIn(b"Munich", content)
        self.assertIn(b"stays", content)
        self.opens(name, out, None)

    def test_png_converted(self):
        name = self.path("converted.png")
        run(CONVERT, self.tagged("base.jpg", *EXIF, *EXIF_ELSE, *XMP, *IPTC),
            name)
        out = self.redacted(name)
        location, _ = tags(out)
        self.assertEqual([one for one in location if one[1]], [])
        self.opens(name, out, None)

    def webp(self, *arguments):
        picture = self.tagged("base.jpg", *arguments)
        name = self.path("base.webp")
        for kind in ("exif", "xmp"):
            with open(self.path(kind), "wb") as out:
                subprocess.run(["exiftool", "-b", "-" + kind, picture],
                               stdout=out, check=True)
            if os.path.getsize(self.path(kind)):
                run("webpmux", "-set", kind, self.path(kind), name, "-o",
                    picture + ".webp")
                name = picture + ".webp"
        return name

    def test_webp(self):
        self.check(self.webp(*EXIF, *EXIF_ELSE))
        self.check(self.webp(*XMP, *XMP_ELSE))
        self.check(self.webp(*EXIF, *EXIF_ELSE, *XMP, *XMP_ELSE))
        name = self.webp(*EXIF_ELSE, *XMP_ELSE)
        self.assertEqual(run(REDACT, name, name + ".out"), "NONE\n")

    def test_heic(self):
        self.check_picture("base.heic", "heif", (EXIF, EXIF_ELSE),
                           (XMP, XMP_ELSE))

    def test_avif(self):
        self.check_picture("base.avif", "heif", (EXIF, EXIF_ELSE),
                           (XMP, XMP_ELSE))

    def test_films(self):
        ways = ["-Keys:GPSCoordinates=" + COORDINATES,
                "-UserData:GPSCoordinates=" + COORDINATES,
                "-ItemList:GPSCoordinates=" + COORDINATES,
                "-Keys:LocationName=Munich", "-Keys:LocationBody=Earth",
                "-Keys:LocationNote=Note", "-Keys:LocationRole=Real Location",
                "-XMP-exif:GPSLatitude=48.1371"]
        other = ["-Keys:Title=Title", "-Keys:Author=Somebody",
                 "-UserData:Comment=Comment", "-ItemList:Album=Album",
                 "-XMP-dc:Title=Title"]
        for base in ("base.mp4", "base.mov"):
            for way in ways + [None]:
                with self.subTest(base=base, way=way):
                    self.check(self.tagged(base, *([way] if way else ways),
                                           *other), "ffmpeg")

    def test_matroska(self):
        name = self.film("tags.mkv", "-metadata", "title=stays", "-metadata",
                         "location=+48.1371+011.5754/")
        out = self.redacted(name)
        content = open(out, "rb").read()
        self.assertNotIn(b"+48.1371", content)
        self.assertIn(b"stays", content)
        self.opens(name, out, "ffmpeg")

    def test_3gp(self):
        name = self.film("loci.3gp", "-metadata",
                         "location=+48.1371+011.5754+519.5/")
        self.assertIn(b"loci", open(name, "rb").read())
        self.check(name, "ffmpeg")

    def test_films_of_ffmpeg(self):
        for name, *options in (
                ("place.mov", "-metadata", "location=+48.1371+011.5754/"),
                ("keys.mov", "-movflags", "use_metadata_tags", "-metadata",
                 "com.apple.quicktime.location.ISO6709=+48.1371+011.5754/"),
                ("keys.mp4", "-movflags", "use_metadata_tags+faststart",
                 "-metadata", "location=+48.1371+011.5754/"),
                ("pieces.mov", "-movflags", "frag_keyframe+empty_moov",
                 "-metadata", "location=+48.1371+011.5754/")):
            with self.subTest(name=name):
                film = self.film(name, *options)
                self.assertIn(b"+48.1371", open(film, "rb").read())
                out = self.redacted(film)
                self.assertNotIn(b"+48.1371", open(out, "rb").read())
                self.opens(film, out, "ffmpeg")

    def test_text_tracks(self):
        for text, location in (
                ("[latitude: 48.1371] [longitude: 11.5754]", True),
                ("GPS (11.5754, 48.1371, 519)", True),
                ("$GPRMC,070809,A,4808.226,N,01134.524,E,0.0,0.0", True),
                ("A long day, later on", False)):
            with self.subTest(text=text):
                titles = self.path("titles.srt")
                with open(titles, "w") as out:
                    out.write("1\n00:00:00,000 --> 00:00:01,000\n%s\n" % text)
                name = self.film("titles.mp4", "-i", titles, "-c:s", "mov_text")
                said = run(REDACT, name, name + ".out")
                self.assertEqual(said != "NONE\n", location)
                left = open(name + ".out", "rb").read()
                self.assertEqual(text.encode() not in left, location)
                self.opens(name, name + ".out", "ffmpeg")

    def test_nothing_in_films(self):
        for base in ("base.mp4", "base.mov", "base.3gp", "base.avi",
                     "base.heic", "base.avif"):
            with self.subTest(base=base):
                name = self.path(base)
                self.assertEqual(run(REDACT, name, name + ".out"), "NONE\n")


if __name__ == "__main__":
    cases.main()
