"""Checks every golden vector of testdata/ (SPEC.md section 14)."""

import json
import os
import re

from . import avro, canon, messages, source
from .crc32c import crc32c
from .frames import NONE, FrameReader, WireError
from .session import Broken, ExtractorFrames, HostFrames

BINARY = {"PING", "PONG", "SCHEMA", "BATCH"}
KEY_LINE = re.compile(r"([a-z_]+): (.*)")


class Mismatch(Exception):
    """A vector that this peer does not agree with."""


def check(found, wanted):
    """Compares."""
    if found != wanted:
        raise Mismatch(f"found {found!r}, wanted {wanted!r}")


def read_vector(path):
    """`key: value` lines, and the bytes."""
    keys, digits = {}, []
    with open(path, encoding="utf-8") as text:
        for line in text.read().split("\n"):
            match = KEY_LINE.fullmatch(line)
            if match:
                keys.setdefault(match[1], []).append(match[2])
            else:
                digits.append(line.split("#")[0])
    return keys, bytes.fromhex("".join(digits))


def describe(frame):
    """A frame in the words of `expect`."""
    def number(value):
        return "-" if value == NONE else value
    return (f"frame {frame.name} flags={frame.flags:04x} epoch={frame.epoch} "
            f"part={number(frame.part)} seq={frame.seq} ref={number(frame.ref)} "
            f"length={len(frame.payload)}")


def judge_frames(keys, data, step):
    """What a receiver makes of a stream that comes in pieces."""
    reader = FrameReader(keys["from"] == ["host"], int(keys.get("next_seq", ["0"])[0]))
    seen = []
    try:
        for at in range(0, len(data), step):
            reader.feed(data[at:at + step])
            while (frame := reader.next()) is not None:
                seen.append(describe(frame))
                if frame.name not in BINARY:
                    messages.read(frame)
        reader.end()
        seen.append("end")
    except WireError as error:
        seen.append(f"error {error.code}")
    return seen


def frames(path):
    """One file of testdata/frames."""
    keys, data = read_vector(path)
    for step in (1, 7, 1 << 20):
        check(judge_frames(keys, data, step), keys["expect"])


def shown(row):
    """An error row as JSON."""
    def text(data):
        return None if data is None else data.hex()
    return {**row, "key": text(row["key"]), "value": text(row["value"]),
            "headers": [[name, text(value)] for name, value in row["headers"]]}


def containers(path):
    """One file of testdata/avro."""
    if path.endswith(".avro"):
        return whole_file(path)
    keys, data = read_vector(path)
    kind, marker = keys["kind"][0], bytes.fromhex(keys["sync"][0])
    try:
        if kind == "header":
            found = avro.read_header(data)
        else:
            read, show = ((avro.read_row, dict) if kind == "static" else (avro.read_error, shown))
            found = [[show(row) for row in avro.read_rows(count, rows, read)]
                     for count, rows in avro.read_blocks(data, marker)]
    except avro.AvroError:
        found = "refused"
    wanted = keys["expect"][0]
    check(found, wanted if wanted == "refused" else json.loads(wanted))
    if found != "refused" and "loose" not in path:
        check(written_again(kind, found, marker), data)


def written_again(kind, found, marker):
    """What this peer writes for it."""
    if kind == "header":
        return avro.write_header(found["schema"], found["avro_schema"], marker, found["topic"],
                                 found["key_columns"])
    out = b""
    for rows in found:
        data = b""
        for row in rows:
            if kind == "static":
                data += avro.write_row(**{"row_id" if name == "id" else name: text
                                          for name, text in row.items()})
            else:
                def raw(text):
                    return None if text is None else bytes.fromhex(text)
                data += avro.write_error({
                    **row, "key": raw(row["key"]), "value": raw(row["value"]),
                    "headers": [(name, raw(value)) for name, value in row["headers"]]})
        out += avro.write_block(len(rows), data, marker)
    return out


def whole_file(path):
    """A container with its header."""
    with open(path, "rb") as file:
        data = file.read()
    end = data.index(bytes(range(16))) + 16
    header = avro.read_header(data[:end])
    read = avro.read_row if header["schema"] else avro.read_error
    blocks = avro.read_blocks(data[end:], data[end - 16:end])
    check(all(avro.read_rows(count, rows, read) for count, rows in blocks), True)


def offsets(path):
    """testdata/offsets/cases.jsonl."""
    with open(path, encoding="utf-8") as text:
        for line in text:
            case = json.loads(line)
            stars = case.get("stars")
            loose = (bytes.fromhex(case["loose_hex"]) if "loose_hex" in case else
                     case["loose"].encode())
            wanted = case.get("canonical")
            if stars:
                loose = loose.replace(b"*", b"a" * stars)
                wanted = wanted and wanted.replace("*", "a" * stars)
            try:
                value = canon.parse(loose)
                found = (canon.key if case.get("role") == "key" else canon.place)(value)
            except canon.Refused:
                found = None
            if found != wanted:
                raise Mismatch(f"{line.strip()}: found {found!r}")


def rows(path):
    """One file of testdata/rows."""
    with open(path, encoding="utf-8") as text:
        case = json.load(text)
    settings, unknown = source.configure(case["config"])
    check(unknown, [])
    for name, wanted in case["splits"].items():
        split = source.Split(settings, name)
        found = {"rows": [0, 0, []], "errors": [0, 0, []]}
        for row in range(split.rows):
            datum, bad = split.datum(row)
            kind = found["errors" if bad else "rows"]
            kind[0] += 1
            kind[1] = crc32c(datum, kind[1])
            if row < case["shown"]:
                cursor = avro.Cursor(datum)
                read = avro.read_error(cursor) if bad else avro.read_row(cursor)
                kind[2].append({key: value.decode() if isinstance(value, bytes) else value
                                for key, value in read.items()})
        for kind, (count, crc, first) in found.items():
            check({"count": count, "digest": f"crc32c:{crc:08x}", "first": first}, wanted[kind])


def sessions(path):
    """One file of testdata/sessions."""
    with open(path, encoding="utf-8") as text:
        lines = text.read().split("\n")
    verdict = next(line[9:] for line in lines if line.startswith("verdict: "))
    recording = [line for line in lines if line[:2] in ("> ", "< ")]
    readers = {">": FrameReader(True), "<": FrameReader(False)}
    host, extractor = HostFrames(), ExtractorFrames()
    for index, line in enumerate(recording):
        reader = readers[line[0]]
        reader.feed(bytes.fromhex(line[2:]))
        frame = reader.next()
        reader.end()
        found = "accept"
        try:
            if line[0] == ">":
                host.receive(frame)
                extractor.sent(frame)
            else:
                extractor.receive(frame)
                answers = frame.name not in BINARY and frame.name != "PROGRESS"
                if answers and frame.ref != NONE:
                    host.answered()
        except Broken as broken:
            found = (f"refuse extractor {broken.rule} {broken.code}" if line[0] == ">" else
                     f"refuse host {broken.rule}")
        is_last = index == len(recording) - 1
        check(found, verdict if is_last else "accept")


FOLDERS = {"frames": frames, "avro": containers, "offsets": offsets, "rows": rows,
           "sessions": sessions}


def generators():
    """Published values that the peer's own arithmetic must give."""
    check(f"{crc32c(b'123456789'):08x}", "e3069283")
    check([crc32c(bytes(32)), crc32c(b"\xff" * 32)], [0x8A9136AA, 0x62A8AB43])
    long = bytes(range(256)) * 40
    check(crc32c(long[:99], 0) and crc32c(long[99:], crc32c(long[:99])), crc32c(long))
    check([source.fnv1a64(b""), source.fnv1a64(b"a")], [0xCBF29CE484222325, 0xAF63DC4C8601EC8C])


def run(folder):
    """Checks all vectors; the number of those that fail."""
    generators()
    failed = 0
    for name, judge in FOLDERS.items():
        files = sorted(os.listdir(os.path.join(folder, name)))
        if not files:
            raise SystemExit(f"no vectors in {name}")
        for file in files:
            try:
                judge(os.path.join(folder, name, file))
            except Exception as error:  # whatever goes wrong is this vector's failure
                failed += 1
                print(f"{name}/{file}: {type(error).__name__}: {error}")
        print(f"{name}: {len(files)} files")
    print(f"{failed} failed" if failed else "all vectors pass")
    return failed
