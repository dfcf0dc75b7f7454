"""The answer to EXTRACT: reads the assigned splits into BATCH frames (SPEC.md sections 4.7, 4.8, 5.3)."""

import random
import time

from . import avro, canon
from .crc32c import crc32c
from .frames import Frame
from .limits import ROW_BYTES_MAX
from .messages import CLASS_OF
from .source import Failure

FRAME_BYTES = 256 << 10
FRAME_SPARE = 1024  # for the prefix and the numbers and marker of a block
ROWS_PER_POLL = 512


class Part:
    """An assigned split and where it stands."""

    def __init__(self, split, value):
        self.split, self.value = split, value
        self.row, self.closed = split.place(value)

    def move(self, row, closed=False):
        """Steps on."""
        if (row, closed) != (self.row, self.closed):
            self.row, self.closed = row, closed
            self.value = self.split.value(row, closed)


class Batch:
    """One batch that is being read."""

    def __init__(self, extractor, entry):
        self.extractor, self.entry, self.parts = extractor, entry, extractor.parts
        self.limits = entry.message
        self.until = {until["part"]: self.parts[until["part"]].split.place(until["value"])
                      for until in self.limits["until"]}
        self.stood = [(part.value, part.row, part.closed) for part in self.parts]
        self.counts = [[0, 0] for _ in self.parts]
        self.digests = [0] * len(self.parts)
        self.pending, self.news = {}, []
        self.frame_bytes = min(FRAME_BYTES, extractor.max_frame - FRAME_SPARE)
        self.rows = self.errors = self.datum_bytes = self.frames = self.bytes = 0
        self.full = None

    def read(self):
        """Reads until there is a reason to stop; the reason."""
        extractor, entry = self.extractor, self.entry
        began, first, failing = time.monotonic(), None, None
        seconds = self.limits["max_interval_ms"] / 1000
        while True:
            if entry.is_interrupted():
                return "cancel" if entry.cancel else "stop"
            if self.until and all(self.reached(index) for index in self.until):
                return "until"
            if self.parts and all(part.closed for part in self.parts):
                return "eof"
            try:
                moved, failing = self.poll(), None
            except Failure as failure:
                failing = failing or time.monotonic()
                if self.gives_up(failure, failing):
                    if self.rows + self.errors or self.moved():
                        return "other"
                    raise
                moved = True
            if first is None and self.rows + self.errors:
                first = time.monotonic()
            if self.full:
                return self.full
            if time.monotonic() - (first or began) >= seconds:
                return "interval" if first else "idle"
            if not moved:
                left = (first or began) + seconds - time.monotonic()
                extractor.wait(entry, min(left, self.stall_left() or left))

    def stall_left(self):
        """Seconds before anything is delivered again; longer than a batch may take."""
        until = self.extractor.stalled
        return 0 if until is None else max(0, until - time.monotonic())

    def gives_up(self, failure, since):
        """Waits before another attempt, if the failure may pass."""
        extractor = self.extractor
        left = since + extractor.retry_seconds - time.monotonic()
        if CLASS_OF[failure.code] != "transient" or left <= 0:
            return True
        extractor.phase = "backoff"
        extractor.progress(self.entry)
        extractor.wait(self.entry, min(left, random.uniform(0.05, 0.5)))
        extractor.phase = "polling"
        return False

    def reached(self, index):
        """Whether a part is where `until` says."""
        row, closed = self.until[index]
        part = self.parts[index]
        return part.row >= row and (part.closed or not closed)

    def moved(self):
        """Whether any part moved."""
        return any(part.value != stood[0] for part, stood in zip(self.parts, self.stood))

    def poll(self):
        """Reads a little from each part; whether anything moved."""
        extractor = self.extractor
        settings = extractor.settings
        if settings["test.throttle.ms"]:
            extractor.phase = "throttled"
            extractor.wait(self.entry, settings["test.throttle.ms"] / 1000)
            extractor.phase = "polling"
        if settings["test.stderr.flood"]:
            noise = settings["test.stderr.flood"]
            for size in [4096] * (noise // 4096) + [noise % 4096]:
                extractor.stderr.write(b"noise " * (size // 6) + b"\n")
        if settings["test.print"]:
            print("printed by test.print", flush=True)
        before = [part.value for part in self.parts]
        for index in range(len(self.parts)):
            if self.full or self.entry.is_interrupted():
                break
            self.poll_part(index)
        return before != [part.value for part in self.parts]

    def poll_part(self, index):
        """Reads a little from one part."""
        part, settings = self.parts[index], self.extractor.settings
        split = part.split
        row, closed = self.until.get(index, (split.rows, True))
        limit = min(row, split.rows)
        for _ in range(ROWS_PER_POLL):
            if part.row < limit:
                part.move(split.skip(part.row, limit))
            ends_here = part.row >= limit
            fails = settings["test.fail.code"] and part.row == settings["test.fail.at"]
            if fails and not part.closed and not (ends_here and index in self.until):
                raise Failure(settings["test.fail.code"],
                              f"row {part.row} of {split.key} fails by test.fail.at", part=index,
                              at={"row": part.row})
            if ends_here:
                break
            if (settings["test.stall.ms"] and part.row == settings["test.stall.at"]
                    and self.extractor.stalled is None):
                self.extractor.stalled = time.monotonic() + settings["test.stall.ms"] / 1000
            if self.entry.is_interrupted() or self.stall_left() or not self.add(index, part):
                return
            part.move(part.row + 1)
        if part.row == split.rows and split.closes and closed and not part.closed:
            part.move(part.row, True)
            self.news.append(split.name)

    def add(self, index, part):
        """Takes the row at which a part stands; False when the batch is full."""
        if self.rows + self.errors >= self.limits["max_rows"]:
            self.full = "rows"
            return False
        datum, bad = part.split.datum(part.row)
        if len(datum) > self.extractor.row_max:
            datum, bad = self.too_large(part, len(datum)), True
        if self.datum_bytes and self.datum_bytes + len(datum) > self.limits["max_bytes"]:
            self.full = "bytes"
            return False
        self.datum_bytes += len(datum)
        self.rows += not bad
        self.errors += bad
        self.counts[index][bad] += 1
        if not bad:
            self.digests[index] = crc32c(datum, self.digests[index])
        held = self.pending.setdefault((index, bad), [0, bytearray()])
        if held[1] and len(held[1]) + len(datum) > self.frame_bytes:
            self.flush_one(index, bad)
            held = self.pending.setdefault((index, bad), [0, bytearray()])
        held[0] += 1
        held[1] += datum
        if self.rows + self.errors >= self.limits["max_rows"]:
            self.full = "rows"
        return True

    def too_large(self, part, size):
        """The error row for a row that is too large."""
        row_id, record, _ = part.split.fields(part.row)
        row = part.split.error(part.row, row_id, record, "ROW_TOO_LARGE",
                               f"row has {size} bytes, which is over the limit")
        datum = avro.write_error(row)
        if len(datum) <= min(self.extractor.max_frame - 1024, ROW_BYTES_MAX):
            return datum
        row["reason"] += f" (parts left out, there were {len(datum)} bytes)"
        return avro.write_error({**row, "value": None})

    def flush_one(self, index, bad):
        """Sends what is held for a part."""
        count, data = self.pending.pop((index, bad))
        prefix = (avro.write_prefix(avro.ERROR_SCHEMA_NUMBER, "error") if bad else
                  avro.write_prefix(avro.STATIC_SCHEMA_NUMBER, "insert"))
        payload = prefix + avro.write_block(count, bytes(data), self.extractor.marker)
        self.frames += 1
        self.bytes += len(payload)
        frame = Frame("BATCH", payload, epoch=self.extractor.epoch, part=index, ref=self.entry.seq)
        self.extractor.writer.put(frame, lambda: self.entry.void)

    def flush(self):
        """Sends what is held."""
        for index, bad in sorted(self.pending):
            self.flush_one(index, bad)

    def undo(self):
        """Goes back to where the last batch ended."""
        self.news = []
        for part, (value, row, closed) in zip(self.parts, self.stood):
            part.value, part.row, part.closed = value, row, closed

    def end(self, reason):
        """BATCH_END."""
        moves = []
        for index, part in enumerate(self.parts):
            if part.value == self.stood[index][0]:
                continue
            move = {"part": index, "from": canon.parse(self.stood[index][0].encode()),
                    "to": canon.parse(part.value.encode()), "rows": self.counts[index][0],
                    "errors": self.counts[index][1]}
            if move["rows"] and "digest" in self.extractor.features:
                move["digest"] = f"crc32c:{self.digests[index]:08x}"
            moves.append(move)
        lag = sum(part.split.rows - part.row for part in self.parts)
        return {"batch": self.extractor.batches, "rows": self.rows, "errors": self.errors,
                "bytes": self.bytes, "frames": self.frames, "reason": reason, "offsets": moves,
                "lag": {"rows": lag},
                "caught_up": lag == 0 and all(part.closed or not part.split.closes
                                              for part in self.parts)}
