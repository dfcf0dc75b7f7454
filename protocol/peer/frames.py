"""Frames (SPEC.md section 2) and their types (section 3)."""

import struct

from .crc32c import crc32c
from .limits import (CONTROL_FRAME_BYTES_MAX, DATA_FRAME_BYTES_MAX, HEADER_LEN, LOG_FRAME_BYTES_MAX,
                     PING_BYTES_MAX)

MAGIC = b"S2XF"
NONE = 0xFFFFFFFF
SENSITIVE = 0x0001
CRITICAL = 0xFF00
HEADER = struct.Struct(">4sBBHIIIIII")

NAMES = {
    0x01: "HELLO", 0x02: "CONFIGURE", 0x03: "CHECK", 0x04: "DISCOVER", 0x05: "GET_OFFSETS",
    0x06: "ASSIGN", 0x07: "EXTRACT", 0x08: "COMMIT", 0x09: "CANCEL", 0x0A: "STOP", 0x0B: "PING",
    0x0C: "UPDATE",
    0x81: "HELLO_OK", 0x82: "CONFIGURED", 0x83: "CHECKED", 0x84: "DISCOVERED", 0x85: "OFFSETS",
    0x86: "ASSIGNED", 0x88: "SCHEMA", 0x89: "BATCH", 0x8A: "BATCH_END", 0x8B: "PROGRESS",
    0x8C: "PARTITIONS", 0x8D: "LOG", 0x8E: "ERROR", 0x8F: "PONG", 0x90: "UPDATED", 0x91: "STOPPED",
}
TYPES = {name: number for number, name in NAMES.items()}
ANSWERS = {
    "HELLO": "HELLO_OK", "CONFIGURE": "CONFIGURED", "CHECK": "CHECKED", "DISCOVER": "DISCOVERED",
    "GET_OFFSETS": "OFFSETS", "ASSIGN": "ASSIGNED", "EXTRACT": "BATCH_END", "STOP": "STOPPED",
    "UPDATE": "UPDATED",
}
OVERTAKES = {"PONG", "PROGRESS", "LOG"}


class WireError(Exception):
    """A byte stream that is not a stream of frames, or a message that breaks a rule."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


class Frame:
    """One whole frame."""

    def __init__(self, name, payload=b"", *, flags=0, epoch=0, part=NONE, seq=0, ref=NONE):
        self.name, self.payload, self.flags = name, payload, flags
        self.epoch, self.part, self.seq, self.ref = epoch, part, seq, ref


def encode(frame, seq):
    """The header that belongs before the payload of `frame`."""
    def fields(crc):
        return HEADER.pack(MAGIC, 1, TYPES[frame.name], frame.flags, frame.epoch, frame.part, seq,
                           frame.ref, len(frame.payload), crc)
    return fields(crc32c(frame.payload, crc32c(fields(0)[:28])))


def is_ancillary(number):
    """Whether an unknown type is skipped."""
    return number & 0x70 == 0x30


class FrameReader:
    """Cuts frames out of what is fed to it."""

    def __init__(self, from_host, next_seq=0):
        self.direction = 0x00 if from_host else 0x80
        self.next_seq = next_seq
        self.data_max = DATA_FRAME_BYTES_MAX
        self.buffer = bytearray()

    def feed(self, data):
        """Appends what was read."""
        self.buffer += data

    def limit(self, number):
        """Largest payload of a type."""
        name = NAMES.get(number)
        if name in ("SCHEMA", "BATCH"):
            return self.data_max
        if name == "LOG":
            return LOG_FRAME_BYTES_MAX
        return PING_BYTES_MAX if name in ("PING", "PONG") else CONTROL_FRAME_BYTES_MAX

    def next(self):
        """The next frame, or None when more must be read first."""
        while True:
            start = bytes(self.buffer[:4])
            if start != MAGIC[:len(start)]:
                raise WireError("BAD_MAGIC", f"frame {self.next_seq} begins with {start.hex()}")
            if len(self.buffer) < HEADER_LEN:
                return None
            header = bytes(self.buffer[:HEADER_LEN])
            _, version, number, flags, epoch, part, seq, ref, length, crc = HEADER.unpack(header)
            if version != 1:
                raise WireError("UNSUPPORTED", f"header version {version}")
            if number & 0x80 != self.direction:
                raise WireError("UNEXPECTED_MESSAGE", f"type {number:02x} of the other direction")
            if length > self.limit(number):
                raise WireError("TOO_LARGE", f"{length} bytes in a frame of type {number:02x}")
            if seq != self.next_seq:
                raise WireError("BAD_SEQ", f"frame {seq} where {self.next_seq} was due")
            if len(self.buffer) < HEADER_LEN + length:
                return None
            payload = bytes(self.buffer[HEADER_LEN:HEADER_LEN + length])
            if crc32c(payload, crc32c(header[:28])) != crc:
                raise WireError("BAD_CRC", f"checksum of frame {seq} does not match")
            del self.buffer[:HEADER_LEN + length]
            self.next_seq = (seq + 1) & 0xFFFFFFFF
            if flags & CRITICAL:
                raise WireError("UNSUPPORTED", f"critical flags {flags:04x}")
            name = NAMES.get(number)
            if name is not None:
                return Frame(name, payload, flags=flags, epoch=epoch, part=part, seq=seq, ref=ref)
            if not is_ancillary(number):
                raise WireError("UNSUPPORTED", f"type {number:02x}")

    def end(self):
        """Judges the end of the stream."""
        if self.buffer:
            raise WireError("TRUNCATED", f"stream ended inside frame {self.next_seq}")
