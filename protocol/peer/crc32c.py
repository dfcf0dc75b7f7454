"""CRC-32C (SPEC.md section 2): reflected polynomial 82F63B78, start and final XOR FFFFFFFF."""

import sys

_POLYNOMIAL = 0x82F63B78


def _table_of_bytes():
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ _POLYNOMIAL if crc & 1 else crc >> 1
        table.append(crc)
    return table


_BYTES = _table_of_bytes()
_pairs = None  # for two bytes at once; built when the first long payload comes
_LONG = 4096


def _table_of_pairs():
    return [_BYTES[(_BYTES[pair & 255] ^ (pair >> 8)) & 255] ^ (_BYTES[pair & 255] >> 8)
            for pair in range(65536)]


def crc32c(data, before=0):
    """The checksum of `data`, going on from the checksum `before` of what came before it."""
    global _pairs
    crc = before ^ 0xFFFFFFFF
    view = memoryview(data).cast("B")
    if len(view) >= _LONG and sys.byteorder == "little":
        if _pairs is None:
            _pairs = _table_of_pairs()
        pairs = _pairs
        even = len(view) & ~1
        for pair in view[:even].cast("H"):
            crc = pairs[(crc ^ pair) & 0xFFFF] ^ (crc >> 16)
        view = view[even:]
    for byte in view:
        crc = _BYTES[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF
