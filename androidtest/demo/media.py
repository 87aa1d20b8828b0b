"""Small real media files, written with nothing but the standard library."""

import io
import math
import struct
import wave
import zlib


def _png_chunk(kind, data):
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def png(width=320, height=240):
    """Returns a picture: a slope of two colours."""
    rows = bytearray()
    for y in range(height):
        rows.append(0)  # no filter
        for x in range(width):
            rows += bytes((x * 255 // width, y * 255 // height, 128))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", header)
        + _png_chunk(b"IDAT", zlib.compress(bytes(rows)))
        + _png_chunk(b"IEND", b"")
    )


class _Bits:
    """The entropy-coded part of a JPEG: bits, with 0x00 after each 0xff."""

    def __init__(self):
        self.out = bytearray()
        self.value = self.count = 0

    def put(self, value, count):
        for shift in range(count - 1, -1, -1):
            self.value = self.value << 1 | value >> shift & 1
            self.count += 1
            if self.count == 8:
                self.out.append(self.value)
                if self.value == 0xFF:
                    self.out.append(0)
                self.value = self.count = 0

    def finish(self):
        if self.count:
            self.put(0xFF, 8 - self.count)
        return bytes(self.out)


def jpeg(columns=80, rows=60, phase=0.0):
    """Returns a grey mosaic: each block of 8x8 has one brightness, so that
    the only coefficients are the DC ones."""

    def segment(marker, data):
        return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data

    bits = _Bits()
    last = 0
    for y in range(rows):
        for x in range(columns):
            dc = int(100 * math.sin(x / 9 + phase) * math.cos(y / 7))
            change, last = dc - last, dc
            size = abs(change).bit_length()
            bits.put(size, 4)  # the DC table below: twelve codes of four bits
            bits.put(change if change > 0 else change + (1 << size) - 1, size)
            bits.put(0, 1)  # the AC table below: one code, end of block
    dc_table = bytes((0x00,)) + bytes((0, 0, 0, 12) + (0,) * 12) + bytes(range(12))
    ac_table = bytes((0x10,)) + bytes((1,) + (0,) * 15) + bytes((0,))
    frame = struct.pack(">BHHBBBB", 8, rows * 8, columns * 8, 1, 1, 0x11, 0)
    return (
        b"\xff\xd8"
        + segment(0xE0, b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00")
        + segment(0xDB, bytes((0,)) + bytes((8,)) * 64)
        + segment(0xC0, frame)
        + segment(0xC4, dc_table)
        + segment(0xC4, ac_table)
        + segment(0xDA, bytes((1, 1, 0x00, 0, 63, 0)))
        + bits.finish()
        + b"\xff\xd9"
    )


def wav(seconds=2, rate=22050):
    """Returns a tone of 440 Hz."""
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(
            b"".join(
                struct.pack("<h", int(12000 * math.sin(2 * math.pi * 440 * i / rate)))
                for i in range(seconds * rate)
            )
        )
    return out.getvalue()


def _box(kind, *parts):
    data = b"".join(parts)
    return struct.pack(">I", len(data) + 8) + kind + data


def _full_box(kind, *parts, flags=0):
    return _box(kind, struct.pack(">I", flags), *parts)


_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def mp4(frames=10, columns=40, rows=30):
    """Returns a film of Motion JPEG, ten frames a second."""
    pictures = [jpeg(columns, rows, phase=i / 3) for i in range(frames)]
    width, height = columns * 8, rows * 8
    file_type = _box(b"ftyp", b"qt  ", struct.pack(">I", 0x200), b"qt  isom")
    data = _box(b"mdat", *pictures)
    entry = _box(
        b"jpeg",
        struct.pack(">6xH", 1),
        struct.pack(">4H3I2H2IIH", 0, 0, 0, 0, 0, 0, 0, width, height, 0x480000, 0x480000, 0, 1),
        bytes(32),
        struct.pack(">Hh", 24, -1),
    )
    first = len(file_type) + 8
    offsets, at = [], first
    for picture in pictures:
        offsets.append(at)
        at += len(picture)
    table = _box(
        b"stbl",
        _full_box(b"stsd", struct.pack(">I", 1), entry),
        _full_box(b"stts", struct.pack(">III", 1, frames, 1)),
        _full_box(b"stsc", struct.pack(">IIII", 1, 1, 1, 1)),
        _full_box(b"stsz", struct.pack(">II", 0, frames), struct.pack(">%dI" % frames, *map(len, pictures))),
        _full_box(b"stco", struct.pack(">I", frames), struct.pack(">%dI" % frames, *offsets)),
    )
    information = _box(
        b"minf",
        _full_box(b"vmhd", bytes(8), flags=1),
        _box(b"dinf", _full_box(b"dref", struct.pack(">I", 1), _full_box(b"url ", flags=1))),
        table,
    )
    times = struct.pack(">IIII", 0, 0, 10, frames)
    track = _box(
        b"trak",
        _full_box(
            b"tkhd",
            struct.pack(">IIIII", 0, 0, 1, 0, frames),
            bytes(16),
            _MATRIX,
            struct.pack(">II", width << 16, height << 16),
            flags=7,
        ),
        _box(
            b"mdia",
            _full_box(b"mdhd", times, struct.pack(">HH", 0x55C4, 0)),
            _full_box(b"hdlr", bytes(4), b"vide", bytes(12), b"video\x00"),
            information,
        ),
    )
    movie = _full_box(b"mvhd", times, struct.pack(">IH10x", 0x10000, 0x100), _MATRIX, bytes(24), struct.pack(">I", 2))
    return file_type + data + _box(b"moov", movie, track)


def pdf():
    """Returns a document of one empty page."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>",
    ]
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj" % number + body + b"endobj\n"
    start = len(out)
    out += b"xref\n0 4\n0000000000 65535 f \n"
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return bytes(out) + b"trailer<</Size 4/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % start
