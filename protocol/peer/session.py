"""The rules of SPEC.md section 7 for both directions. A session knows no time and does nothing."""

from . import avro, messages
from .crc32c import crc32c
from .frames import ANSWERS, NONE, SENSITIVE, WireError
from .limits import (CREDITS_MAX, DATA_FRAME_BYTES_MIN, EXTRACT_BYTES_MAX, EXTRACT_INTERVAL_MS_MAX,
                     EXTRACT_ROWS_MAX, PARTS_MAX, SCHEMAS_MAX)

_SAME = {"Configured": "Configured", "Ready": "Ready"}
_LATER = {"Open": "Open", "Configured": "Configured", "Ready": "Ready", "Stopping": "Stopping"}
STATES = {
    "HELLO": {"Start": "Open"},
    "CONFIGURE": {"Open": "Configured"},
    "CHECK": _SAME, "DISCOVER": _SAME, "GET_OFFSETS": _SAME, "COMMIT": _SAME, "UPDATE": _SAME,
    "ASSIGN": {"Configured": "Ready", "Ready": "Ready"},
    "EXTRACT": {"Ready": "Ready"},
    "CANCEL": _LATER, "PING": _LATER,
    "STOP": dict.fromkeys(_LATER, "Stopping"),
}


class Broken(Exception):
    """A rule of section 7 that the peer broke."""

    def __init__(self, rule, text, code="BAD_PAYLOAD"):
        super().__init__(f"{rule}: {text}")
        self.rule, self.text, self.code = rule, text, code


def _sync(text):
    if len(text) != 32 or any(char not in "0123456789abcdefABCDEF" for char in text):
        raise Broken("X4", "sync is not 32 hexadecimal digits")
    return bytes.fromhex(text)


class HostFrames:
    """Judges what a host sends; the extractor keeps one."""

    def __init__(self):
        self.state, self.epoch, self.parts, self.open = "Start", 0, 0, []

    def receive(self, frame):
        """The message in the frame; the state after it."""
        after = STATES.get(frame.name, {}).get(self.state)
        if after is None:
            raise Broken("X1", f"{frame.name} must not come in state {self.state}",
                         "UNEXPECTED_MESSAGE")
        if frame.name in ("CONFIGURE", "UPDATE") and not frame.flags & SENSITIVE:
            raise Broken("X2", f"{frame.name} lacks the SENSITIVE flag")
        message = frame.payload
        if frame.name != "PING":
            try:
                message = messages.read(frame)
            except WireError as error:
                raise Broken("X2", error.text) from None
        self.judge(frame, message)
        self.state = after
        if frame.name == "ASSIGN":
            self.epoch, self.parts = frame.epoch, len(message["parts"])
        if frame.name in ANSWERS:
            self.open.append((frame.seq, frame.name))
        return message

    def judge(self, frame, message):
        """Rules X2 to X5."""
        if frame.name == "HELLO":
            if 1 not in message["protocols"]:
                raise Broken("X3", f"host speaks {message['protocols']}, this side 1",
                             "VERSION_MISMATCH")
            if message["limits"]["max_frame"] < DATA_FRAME_BYTES_MIN:
                raise Broken("X2", "max_frame is too small")
        elif frame.name == "ASSIGN":
            keys = [part["key"] for part in message["parts"]]
            if len(keys) > PARTS_MAX:
                raise Broken("X4", f"{len(keys)} parts")
            if len(set(keys)) < len(keys):
                raise Broken("X4", "a KEY twice")
            message["sync"] = _sync(message["sync"])
        elif frame.name == "EXTRACT":
            if frame.epoch != self.epoch:
                raise Broken("X5", f"epoch {frame.epoch}, the assignment has {self.epoch}")
            if sum(name == "EXTRACT" for _, name in self.open) >= CREDITS_MAX:
                raise Broken("X5", "too many credits")
            for name, most in (("max_rows", EXTRACT_ROWS_MAX), ("max_bytes", EXTRACT_BYTES_MAX),
                               ("max_interval_ms", EXTRACT_INTERVAL_MS_MAX)):
                if not 1 <= message[name] <= most:
                    raise Broken("X5", f"{name} is {message[name]}, not in 1..{most}")
            if any(until["part"] >= self.parts for until in message["until"]):
                raise Broken("X5", "until names a part that is not assigned")

    def answered(self):
        """Takes the oldest open request."""
        return self.open.pop(0)


class ExtractorFrames:
    """Judges what an extractor sends, given what the host sent before; a host keeps one."""

    def __init__(self):
        self.offered = None
        self.open, self.assigns = [], []
        self.epoch, self.marker, self.chain, self.schemas = 0, bytes(16), [], {}
        self.last_batch, self.stopped, self.has_digests = 0, False, False
        self.begin()

    def begin(self):
        """Forgets what came for the batch that is being received."""
        self.came, self.digests, self.frames, self.bytes = {}, {}, 0, 0

    def sent(self, frame):
        """Takes note of a frame of the host that its extractor accepts."""
        if frame.name not in ANSWERS:
            return
        message = messages.read(frame)
        self.open.append((frame.seq, frame.name, message))
        if frame.name == "HELLO":
            self.offered = message
        if frame.name == "ASSIGN":
            self.assigns.append((frame.epoch, _sync(message["sync"]),
                                 [part["value"] for part in message["parts"]]))

    def receive(self, frame):
        """Judges a frame; the message in it, or None for a stale one."""
        if self.stopped:
            raise Broken("H13", f"{frame.name} after STOPPED")
        if frame.name == "SCHEMA":
            return self.schema(frame)
        if frame.name == "BATCH":
            return self.batch(frame)
        if frame.name == "PONG":
            return frame.payload
        try:
            message = messages.read(frame)
        except WireError as error:
            raise Broken("H12", error.text) from None
        if frame.name in ("PROGRESS", "PARTITIONS", "LOG"):
            return message
        if frame.name == "ERROR":
            if frame.ref != NONE:
                _, name, _ = self.take(frame)
                if name == "ASSIGN":
                    self.assigns.pop(0)
                self.begin()
            return message
        _, name, request = self.take(frame)
        if ANSWERS[name] != frame.name:
            raise Broken("H1", f"{frame.name} does not answer {name}")
        if frame.name == "HELLO_OK":
            offer = self.offered
            if (message["protocol"] not in offer["protocols"] or message["protocol"] != 1
                    or not set(message["features"]) <= set(offer["features"])
                    or not DATA_FRAME_BYTES_MIN <= message["limits"]["max_frame"]
                    <= offer["limits"]["max_frame"]):
                raise Broken("H2", "picked what was not offered")
            self.has_digests = "digest" in message["features"]
        elif frame.name == "ASSIGNED":
            self.assigned(frame, message)
        elif frame.name == "BATCH_END":
            self.batch_end(frame, message)
        elif frame.name == "STOPPED":
            self.stopped = True
        return message

    def take(self, frame):
        """The oldest open request, which this frame must name."""
        if not self.open or self.open[0][0] != frame.ref:
            raise Broken("H1", f"{frame.name} names {frame.ref}, which is not the oldest request")
        return self.open.pop(0)

    def assigned(self, frame, message):
        """ASSIGNED: the new epoch begins."""
        epoch, marker, chain = self.assigns.pop(0)
        if frame.epoch != epoch or message["parts"] != len(chain):
            raise Broken("H3", f"epoch {frame.epoch} with {message['parts']} parts")
        self.epoch, self.marker, self.chain, self.schemas = epoch, marker, chain, {}
        self.begin()

    def schema(self, frame):
        """SCHEMA: a container header."""
        if frame.epoch != self.epoch:
            return None
        try:
            header = avro.read_header(frame.payload)
        except avro.AvroError as error:
            raise Broken("H4", str(error)) from None
        number = header["schema"]
        if header["sync"] != self.marker.hex():
            raise Broken("H4", "sync marker is not the assignment's")
        if self.frames:
            raise Broken("H4", "schema inside a batch")
        if number == avro.ERROR_SCHEMA_NUMBER and header["avro_schema"] != avro.ERROR_SCHEMA:
            raise Broken("H4", "schema 0 is not the error schema")
        if self.schemas.setdefault(number, (frame.payload, header))[0] != frame.payload:
            raise Broken("H4", f"schema {number} changed its meaning")
        if len(self.schemas) > SCHEMAS_MAX:
            raise Broken("H4", "too many schemas")
        return header

    def batch(self, frame):
        """BATCH: rows of one part."""
        if frame.epoch != self.epoch:
            return None
        if frame.part >= len(self.chain):
            raise Broken("H6", f"part {frame.part}")
        if not self.open or self.open[0][:2] != (frame.ref, "EXTRACT"):
            raise Broken("H5", f"no credit {frame.ref}")
        try:
            number, operation, data = avro.read_prefix(frame.payload)
            if number not in self.schemas:
                raise Broken("H6", f"schema {number} is not known")
            header = self.schemas[number][1]
            fits = (["error"] if number == avro.ERROR_SCHEMA_NUMBER else
                    ["upsert", "delete"] if header["key_columns"] else ["insert"])
            if operation not in fits:
                raise Broken("H6", f"{operation} does not go with schema {number}")
            blocks = avro.read_blocks(data, self.marker)
        except avro.AvroError as error:
            raise Broken("H6", str(error)) from None
        count = sum(rows for rows, _ in blocks)
        if count == 0:
            raise Broken("H6", "no rows")
        came = self.came.setdefault(frame.part, [0, 0])
        came[operation == "error"] += count
        if self.has_digests and operation != "error":
            for _, datums in blocks:
                self.digests[frame.part] = crc32c(datums, self.digests.get(frame.part, 0))
        self.frames += 1
        self.bytes += len(frame.payload)
        request = self.open[0][2]
        if (sum(map(sum, self.came.values())) > request["max_rows"]
                or self.bytes > 2 * request["max_bytes"] + 64 * 1024 * 1024):
            raise Broken("H7", "more than EXTRACT asked for")
        return {"schema": number, "operation": operation, "blocks": blocks, "header": header}

    def batch_end(self, frame, end):
        """BATCH_END: counts and chain."""
        came, frames, size, digests = self.came, self.frames, self.bytes, self.digests
        self.begin()
        if end["reason"] == "void":
            if end["rows"] or end["errors"] or end["bytes"] or end["frames"] or end["offsets"]:
                raise Broken("H11", "a void batch carries something")
            return
        if frame.epoch != self.epoch:
            raise Broken("H8", f"epoch {frame.epoch}")
        if end["batch"] <= self.last_batch:
            raise Broken("H8", f"batch {end['batch']} after {self.last_batch}")
        self.last_batch = end["batch"]
        if (end["frames"], end["bytes"]) != (frames, size):
            raise Broken("H9", f"{frames} frames and {size} bytes came")
        for move in end["offsets"]:
            if [move["rows"], move["errors"]] != came.pop(move["part"], [0, 0]):
                raise Broken("H9", f"counts of part {move['part']}")
            if self.has_digests and move["rows"] and (
                    move["digest"] != f"crc32c:{digests[move['part']]:08x}"):
                raise Broken("H9", f"digest of part {move['part']}")
        if came:
            raise Broken("H9", f"rows of part {min(came)} without a move")
        for name in ("rows", "errors"):
            if end[name] != sum(move[name] for move in end["offsets"]):
                raise Broken("H9", f"{name} is not the sum over the parts")
        for move in end["offsets"]:
            part = move["part"]
            if part >= len(self.chain):
                raise Broken("H10", f"part {part}")
            if move["from"] != self.chain[part]:
                raise Broken("H10", f"part {part} stands at {self.chain[part]}")
            if move["to"] == move["from"]:
                raise Broken("H10", f"part {part} moves nowhere")
            self.chain[part] = move["to"]
