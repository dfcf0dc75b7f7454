"""An extractor that breaks one rule: the Python peer with one thing changed.

    bad_extractor.py --list                      every mutation and the check that it must fail
    bad_extractor.py PEER --mutation NAME ...    PEER is the folder that holds `peer`
"""

import os
import sys
import time

MUTATIONS = {}


def breaks(check):
    """Marks a mutation: a function that changes the peer so that this check fails, and no other."""
    def register(function):
        MUTATIONS[function.__name__] = (check, function)
        return function
    return register


if __name__ == "__main__" and sys.argv[1:] != ["--list"]:
    sys.path.insert(0, sys.argv.pop(1))
    import peer.avro as avro
    import peer.batch as batch
    import peer.canon as canon
    import peer.frames as frames
    import peer.messages as messages
    import peer.pipe as pipe
    import peer.serve as serve
    import peer.session as session
    import peer.source as source
    from peer.batch import Batch
    from peer.frames import CRITICAL, HEADER, HEADER_LEN, MAGIC, NAMES, Frame, WireError
    from peer.serve import Extractor
    from peer.session import Broken, HostFrames
    from peer.source import Failure, Source, Split


def around(owner, name):
    """Replaces a function by one that gets the old one first."""
    def decorate(function):
        old = getattr(owner, name)
        setattr(owner, name, lambda *args, **more: function(old, *args, **more))
    return decorate


def reader(*loose, **other):
    """A reader of frames that leaves out some steps of SPEC.md section 2, or takes another view."""
    class Reader(frames.FrameReader):
        def next(self):
            while True:
                start = bytes(self.buffer[:4])
                if other.get("late") and len(self.buffer) < HEADER_LEN:
                    return None
                if start != MAGIC[:len(start)] and "magic" not in loose:
                    raise WireError("BAD_MAGIC", "no magic")
                if len(self.buffer) < HEADER_LEN:
                    return None
                header = bytes(self.buffer[:HEADER_LEN])
                _, version, number, flags, epoch, part, seq, ref, length, crc = HEADER.unpack(header)
                if version != 1 and not ("version" in loose and number == 0x0B):
                    raise WireError("UNSUPPORTED", "header version")
                if number & 0x80 and not ("direction" in loose and length == 2):
                    raise WireError("UNEXPECTED_MESSAGE", "direction")
                steps = [length > self.limit(number) + (other.get("more", 0) if self.limit(number) > 64 else 0)
                         and not (other.get("signed") and length >= 1 << 31) and "TOO_LARGE",
                         seq != self.next_seq and "BAD_SEQ"]
                if other.get("gaps") and seq > self.next_seq and number == 0x0B:
                    steps[1] = False
                for code in steps[::-1] if other.get("turned") else steps:
                    if code:
                        raise WireError(code, "a step")
                if len(self.buffer) < HEADER_LEN + length:
                    return None
                payload = bytes(self.buffer[HEADER_LEN:HEADER_LEN + length])
                if frames.crc32c(payload, frames.crc32c(header[:28])) != crc and not ("crc" in loose and number == 1):
                    if other.get("deaf") and number == 0x07:
                        self.buffer.clear()
                        return None
                    raise WireError("BAD_CRC", "checksum")
                del self.buffer[:HEADER_LEN + length]
                self.next_seq = (seq + 1) & 0xFFFFFFFF
                if flags & CRITICAL and "critical" not in loose:
                    raise WireError("UNSUPPORTED", "critical flags")
                if flags & 0xFE and other.get("reserved"):
                    raise WireError("UNSUPPORTED", "reserved flags")
                name = NAMES.get(number)
                if name is not None:
                    return Frame(name, payload, flags=flags, epoch=epoch, part=part, seq=seq, ref=ref)
                if frames.is_ancillary(number) and not other.get("essential") or "types" in loose:
                    continue
                raise WireError("UNSUPPORTED", "type")
    serve.FrameReader = Reader


# --- handshake ----------------------------------------------------------------------------------


@breaks("H01")
def no_name():
    @around(Extractor, "hello")
    def _(old, self, entry):
        answer = old(self, entry)
        answer["extractor"]["name"] = ""
        return answer


@breaks("H02")
def newest_version():
    @around(Extractor, "hello")
    def _(old, self, entry):
        return {**old(self, entry), "protocol": max(entry.message["protocols"])}


@breaks("H03")
def any_version():
    @around(HostFrames, "judge")
    def _(old, self, frame, message):
        if frame.name != "HELLO":
            old(self, frame, message)


@breaks("H04")
def features_not_offered():
    @around(Extractor, "hello")
    def _(old, self, entry):
        return {**old(self, entry), "features": ["commit", "digest"]}


@breaks("H05")
def unknown_fields_refused():
    @around(messages, "read")
    def _(old, frame):
        if frame.name == "HELLO" and b"deadlines" in frame.payload:
            raise WireError("BAD_PAYLOAD", "deadlines is not known")
        return old(frame)


@breaks("H06")
def ping_before_hello():
    session.STATES["PING"] = {**session.STATES["PING"], "Start": "Start"}


@breaks("H07")
def hello_again():
    session.STATES["HELLO"] = {**session.STATES["HELLO"], "Open": "Open"}


@breaks("H08")
def any_input():
    pipe.is_pipe = lambda descriptor: True


@breaks("H09")
def version_in_two_lines():
    @around(serve, "main")
    def _(old, arguments):
        if arguments == ["--version"]:
            print("an extractor")
        return old(arguments)


@breaks("H11")
def any_argument():
    @around(serve, "main")
    def _(old, arguments):
        return 0 if arguments == ["--config", "x"] else old(arguments)


@breaks("H12")
def no_task():
    @around(serve, "main")
    def _(old, arguments):
        return pipe.explain_and_leave() if "--task" in arguments else old(arguments)


@breaks("H13")
def commit_at_any_time():
    session.STATES["COMMIT"] = {**session.STATES["COMMIT"], "Open": "Open"}


@breaks("H14")
def configured_again():
    session.STATES["CONFIGURE"] = {**session.STATES["CONFIGURE"], "Configured": "Configured"}


# --- framing ------------------------------------------------------------------------------------


@breaks("F10")
def any_direction():
    reader("direction")
    @around(HostFrames, "receive")
    def _(old, self, frame):
        if frame.name == "HELLO_OK":
            raise Broken("2", "an answer", "BAD_PAYLOAD")
        return old(self, frame)


@breaks("F11")
def whole_headers_only():
    sizes = []
    @around(frames.FrameReader, "feed")
    def _(old, self, data):
        sizes.append(len(data))
        if sizes[:40] == [1] * 40:
            raise WireError("TRUNCATED", "bytes come too slowly")
        old(self, data)


@breaks("F12")
def fifteen_frames_in_a_read():
    @around(frames.FrameReader, "feed")
    def _(old, self, data):
        if data.count(MAGIC) > 15:
            raise WireError("TOO_LARGE", "more than 15 frames in a read")
        old(self, data)


@breaks("F13")
def headers_in_one_read():
    @around(frames.FrameReader, "feed")
    def _(old, self, data):
        if not self.buffer and len(data) == 13 and data[5] == 0x0B:
            raise WireError("TRUNCATED", "half a header")
        old(self, data)


@breaks("F15")
def a_write_must_be_quick():
    @around(pipe.Writer, "run")
    def _(old, self):
        import threading
        import time
        def watch():
            stuck = 0
            while True:
                time.sleep(0.1)
                stuck = stuck + 1 if self.busy and self.size > 0 else 0
                if stuck > 20:
                    os._exit(75)
        threading.Thread(target=watch, daemon=True).start()
        old(self)


@breaks("F16")
def limit_is_excluded():
    reader(more=-1)


@breaks("F17")
def limit_is_one_more():
    reader(more=1)


@breaks("F18")
def lengths_are_signed():
    reader(signed=True)


@breaks("F19")
def magic_with_the_header():
    reader(late=True)


@breaks("F20")
def no_checksum():
    reader("crc")


@breaks("F21")
def gaps_in_numbers():
    reader(gaps=True)


@breaks("F22")
def ancillary_is_refused():
    reader(essential=True)


@breaks("F23")
def unknown_types_are_skipped():
    reader("types")


@breaks("F24")
def critical_flags_are_ignored():
    reader("critical")


@breaks("F25")
def reserved_flags_are_refused():
    reader(reserved=True)


@breaks("F26")
def any_header_version():
    reader("version")


@breaks("F27")
def numbers_before_lengths():
    reader(turned=True)


@breaks("F28")
def silent_at_a_cut_frame():
    @around(frames.FrameReader, "end")
    def _(old, self):
        if self.next_seq > 0:
            old(self)


@breaks("F29")
def keys_twice():
    canon._pairs = dict


@breaks("F30")
def deaf_after_damage():
    reader(deaf=True)


@breaks("F31")
def checked_without_checks():
    Extractor.check = lambda self, entry: {}


@breaks("F31")
def a_checksum_of_zero():
    @around(pipe, "encode")
    def _(old, frame, seq):
        header = old(frame, seq)
        return header[:28] + bytes(4) if frame.name == "CHECKED" else header


@breaks("F32")
def pong_of_32_bytes():
    @around(pipe.Writer, "put")
    def _(old, self, frame, *more):
        if frame.name == "PONG":
            frame.payload = frame.payload[:32]
        old(self, frame, *more)


# --- extract ------------------------------------------------------------------------------------


@breaks("X49")
def error_rows_are_not_counted():
    @around(Batch, "add")
    def _(old, self, index, part):
        errors, self.errors = self.errors, 0
        done = old(self, index, part)
        self.errors += errors
        return done


@breaks("X54")
def bytes_without_prefixes():
    @around(Batch, "end")
    def _(old, self, reason):
        answer = old(self, reason)
        return {**answer, "bytes": answer["bytes"] - 8 * answer["frames"]}


@breaks("X55")
def from_is_the_first_place():
    first = {}
    @around(Batch, "end")
    def _(old, self, reason):
        answer = old(self, reason)
        for move in answer["offsets"]:
            move["from"] = first.setdefault(move["part"], move["from"])
        return answer

@breaks("X50")
def bytes_are_counted_afterwards():
    @around(Batch, "add")
    def _(old, self, index, part):
        held, self.datum_bytes = self.datum_bytes, 0
        done = old(self, index, part)
        self.datum_bytes += held
        if done and self.datum_bytes >= self.limits["max_bytes"]:
            self.full = "bytes"
        return done


@breaks("X51")
def idle_is_called_interval():
    @around(Batch, "end")
    def _(old, self, reason):
        return old(self, "interval" if reason == "idle" and not self.parts[0].split.rows else reason)


@breaks("X52")
def rows_without_credit():
    @around(Extractor, "after")
    def _(old, self, entry):
        old(self, entry)
        if entry.name == "EXTRACT":
            payload = avro.write_prefix(1, "insert") + avro.write_block(
                1, avro.write_row("test", "{}", "{}"), self.marker)
            self.writer.put(Frame("BATCH", payload, epoch=self.epoch, part=0, ref=entry.seq))


@breaks("X53")
def quick_answers_first():
    @around(Extractor, "take")
    def _(old, self, frame):
        old(self, frame)
        with self.change:
            if frame.name == "DISCOVER" and len(self.waiting) > 3:
                self.waiting.insert(0, self.waiting.pop())


@breaks("X54")
def digests_of_nothing():
    @around(Batch, "end")
    def _(old, self, reason):
        answer = old(self, reason)
        for move in answer["offsets"]:
            if "digest" in move:
                move["digest"] = "crc32c:00000000"
        return answer


@breaks("X55")
def batch_numbers_stand_still():
    @around(Batch, "end")
    def _(old, self, reason):
        return {**old(self, reason), "batch": 1}


@breaks("X63")
def until_is_included():
    @around(Batch, "__init__")
    def _(old, self, extractor, entry):
        old(self, extractor, entry)
        if len(self.until) == 2:
            self.until = {part: (row + 1, closed) for part, (row, closed) in self.until.items()}


@breaks("X64")
def cancel_is_called_other():
    @around(Batch, "end")
    def _(old, self, reason):
        return old(self, "other" if reason == "cancel" else reason)


@breaks("X65")
def gaps_move_with_rows_only():
    @around(Batch, "end")
    def _(old, self, reason):
        answer = old(self, reason)
        moves = [move for move in answer["offsets"] if move["rows"] + move["errors"]
                 or move["from"] != {"row": 10}]
        return {**answer, "offsets": moves}


@breaks("X66")
def interval_is_called_idle():
    @around(Batch, "end")
    def _(old, self, reason):
        return old(self, "idle" if reason == "interval" and self.parts[0].split.rows > 90_000
                   else reason)


@breaks("X67")
def cancelled_requests_are_answered():
    @around(Extractor, "connect")
    def _(old, self, entry):
        try:
            old(self, entry)
        except Failure:
            entry.cancel = False


@breaks("X68")
def void_with_a_number_of_rows():
    @around(Extractor, "void")
    def _(old, self, entry):
        return {**old(self, entry), "rows": 1}


@breaks("X69")
def any_epoch():
    @around(HostFrames, "judge")
    def _(old, self, frame, message):
        if frame.name == "EXTRACT":
            frame.epoch = self.epoch
        old(self, frame, message)


@breaks("X70")
def failure_before_the_rows():
    @around(Batch, "poll")
    def _(old, self):
        settings = self.extractor.settings
        if settings["test.fail.code"] == "PERMISSION_DENIED":
            raise Failure("PERMISSION_DENIED", "at once")
        return old(self)


@breaks("X71")
def caught_up_too_early():
    @around(Batch, "end")
    def _(old, self, reason):
        answer = old(self, reason)
        return {**answer, "caught_up": answer["caught_up"] or answer["lag"]["rows"] == 1}


@breaks("X72")
def eof_is_called_idle():
    @around(Batch, "end")
    def _(old, self, reason):
        return old(self, "idle" if reason == "eof" and self.parts[0].split.rows == 5
                   and self.entry.epoch == 1 and self.limits["max_rows"] == 100 else reason)


# --- rows ---------------------------------------------------------------------------------------


@breaks("X56")
def a_block_without_rows():
    @around(avro, "write_block")
    def _(old, count, data, marker):
        block = old(count, data, marker)
        return block + old(0, b"", marker) if count > 200 else block


@breaks("X57")
def another_topic():
    @around(Split, "datum")
    def _(old, self, row):
        if self.settings["test.topic"] == "orders" and row == 250:
            row_id, record, _ = self.fields(row)
            return avro.write_row("Orders", row_id, record), False
        return old(self, row)


@breaks("X58")
def schemas_with_another_marker():
    @around(avro, "write_header")
    def _(old, number, schema, marker, *more):
        return old(number, schema, bytes(16), *more)


@breaks("X59")
def first_two_parts_are_swapped():
    swap, is_on = {0: 1, 1: 0}, [False]

    @around(Extractor, "assign")
    def _(old, self, entry):
        answer = old(self, entry)
        is_on[0] = bool(self.parts) and self.parts[0].split.name == "p2"
        return answer

    @around(Batch, "end")
    def _(old, self, reason):
        answer = old(self, reason)
        for move in answer["offsets"] if is_on[0] else []:
            move["part"] = swap.get(move["part"], move["part"])
        return answer

    @around(pipe.Writer, "put")
    def _(old, self, frame, *more):
        if frame.name == "BATCH" and is_on[0]:
            frame.part = swap.get(frame.part, frame.part)
        old(self, frame, *more)


@breaks("X60")
def ascii_only():
    @around(Split, "datum")
    def _(old, self, row):
        if not self.settings["test.unicode"] or self.settings["test.row.bytes"] != 50:
            return old(self, row)
        row_id, record, _ = self.fields(row)
        import json
        return avro.write_row("test", row_id, json.dumps(json.loads(record), separators=(",", ":"))), False


@breaks("X61")
def tombstones_are_empty_texts():
    @around(Split, "fields")
    def _(old, self, row):
        row_id, record, bad = old(self, row)
        is_tombstone = record == "null" and self.settings["test.rows"] == 30
        return row_id, '""' if is_tombstone else record, bad


@breaks("X62")
def any_row_size():
    @around(Extractor, "configure")
    def _(old, self, entry):
        answer = old(self, entry)
        self.row_max = 33554432
        return answer


@breaks("X73")
def rows_of_200_kilobytes():
    @around(Extractor, "configure")
    def _(old, self, entry):
        answer = old(self, entry)
        self.row_max = min(self.row_max, 200_000)
        return answer


@breaks("X74")
def error_rows_without_a_key():
    @around(Split, "error")
    def _(old, self, *more):
        return {**old(self, *more), "key": None}


@breaks("X75")
def frames_as_large_as_ever():
    @around(Batch, "__init__")
    def _(old, self, extractor, entry):
        old(self, extractor, entry)
        self.frame_bytes = 256 << 10


# --- configuration ------------------------------------------------------------------------------


@breaks("C32")
def no_pointer():
    @around(source, "configure")
    def _(old, config):
        try:
            return old(config)
        except Failure as failure:
            if failure.code == "CONFIG_INVALID":
                failure.more = {}
            raise


@breaks("C33")
def unknown_class_is_invalid():
    @around(source, "configure")
    def _(old, config):
        try:
            return old(config)
        except Failure as failure:
            if failure.code == "CONFIG_UNKNOWN_CLASS":
                failure.code = "CONFIG_INVALID"
            raise


@breaks("C34")
def a_class_by_default():
    @around(source, "configure")
    def _(old, config):
        return old({"connector.class": "test", **config})


@breaks("C35")
def unknown_keys_are_swallowed():
    @around(source, "configure")
    def _(old, config):
        settings, unknown = old(config)
        return settings, [one for one in unknown if one["key"] != "test.row"]


@breaks("C36")
def numbers_only():
    @around(source, "configure")
    def _(old, config):
        if config.get("test.rows") == "4":
            raise Failure("CONFIG_INVALID", "no number", detail={"pointer": "/config/test.rows"})
        return old(config)


@breaks("C37")
def secrets_for_a_helper():
    @around(Extractor, "configure")
    def _(old, self, entry):
        import subprocess
        secrets = entry.message["credentials"]
        if secrets and self.max_frame and "test.rows" in entry.message["config"]:
            subprocess.Popen(["sleep", "3"], env={"SECRET": str(list(secrets.values())[0])})
        return old(self, entry)


@breaks("C38")
def secrets_in_a_log():
    @around(Extractor, "update")
    def _(old, self, entry):
        import base64
        for value in (entry.message["credentials"] or {}).values():
            text = base64.b64encode(value.encode()).decode()
            self.send("LOG", {"level": "info", "target": "", "message": f"now {text}"})
        return old(self, entry)


@breaks("C39")
def errors_quote_values():
    @around(source, "configure")
    def _(old, config):
        try:
            return old(config)
        except Failure as failure:
            failure.message += f" (it is {config.get('test.rows')})"
            raise


@breaks("C41")
def update_begins_anew():
    @around(Extractor, "update")
    def _(old, self, entry):
        answer = old(self, entry)
        return {"applied": [name for name in answer["applied"] if name != "credentials"]}


@breaks("C42")
def update_without_its_flag():
    @around(HostFrames, "receive")
    def _(old, self, frame):
        if frame.name == "UPDATE":
            frame.flags |= 1
        return old(self, frame)


@breaks("C43")
def any_start():
    messages.PAYLOADS["GET_OFFSETS"] = messages.fields(
        start=(lambda start: start if start != "soon" else "earliest", messages.REQUIRED),
        keys=(messages.many(messages.key), messages.REQUIRED))


# --- discover -----------------------------------------------------------------------------------


@breaks("D42")
def nothing_was_tried():
    Extractor.check = lambda self, entry: self.connect(entry) or {"checks": []}


@breaks("D43")
def splits_by_number():
    @around(Source, "discover")
    def _(old, self):
        answer = old(self)
        answer["splits"].sort(key=lambda split: (len(split["key"]["gen"]), split["key"]["gen"]))
        return answer


@breaks("D44")
def offsets_sorted_by_key():
    @around(Extractor, "get_offsets")
    def _(old, self, entry):
        answer = old(self, entry)
        answer["offsets"].sort(key=lambda offset: offset["key"]["gen"])
        return answer


@breaks("D45")
def positions_with_spaces():
    @around(Split, "error")
    def _(old, self, *more):
        row = old(self, *more)
        return {**row, "position": row["position"].replace(":", ": ")}


@breaks("D46")
def unknown_keys_are_ignored():
    @around(Split, "place")
    def _(old, self, text):
        value = canon.parse(text.encode())
        value.pop("epoch", None)
        return old(self, canon.canonical(value))


@breaks("D46")
def notes_are_refused():
    @around(Split, "place")
    def _(old, self, text):
        if "x-note" in text:
            raise Failure("OFFSET_INVALID", "x-note")
        return old(self, text)


@breaks("D47")
def any_incarnation():
    @around(Extractor, "assign")
    def _(old, self, entry):
        entry.message["incarnation"] = ""
        return old(self, entry)


@breaks("D48")
def keys_in_one_order():
    @around(messages, "read")
    def _(old, frame):
        if frame.name == "ASSIGN" and b'"row":5, "closed"' in frame.payload:
            raise WireError("BAD_PAYLOAD", "keys in another order")
        return old(frame)


@breaks("D49")
def foreign_keys_are_not_found():
    @around(Source, "split")
    def _(old, self, key):
        try:
            return old(self, key)
        except Failure as failure:
            failure.code = "SOURCE_NOT_FOUND"
            raise


@breaks("D50")
def no_range():
    @around(Split, "place")
    def _(old, self, text):
        try:
            return old(self, text)
        except Failure as failure:
            failure.more = {}
            raise


@breaks("D51")
def keys_twice_in_assign():
    @around(HostFrames, "judge")
    def _(old, self, frame, message):
        if frame.name == "ASSIGN" and len({part["key"] for part in message["parts"]}) == 1:
            message["parts"] = message["parts"][:1]
        old(self, frame, message)


@breaks("D52")
def no_void_without_assignment():
    @around(Extractor, "extract")
    def _(old, self, entry):
        if self.parts is None:
            raise Failure("BUG", "nothing is assigned")
        return old(self, entry)


# --- replay -------------------------------------------------------------------------------------


@breaks("R66")
def rows_know_their_batch():
    # In the cuts of one check only: the others read in cuts of a fixed size, or with several credits.
    first, fixed = [False], (250, 1_000_000, 50, 130, 1)

    @around(Extractor, "take")
    def _(old, self, frame):
        busy = self.running is not None or self.waiting
        self.hurried = getattr(self, "hurried", False) or (frame.name == "EXTRACT" and bool(busy))
        old(self, frame)

    @around(Batch, "add")
    def _(old, self, index, part):
        first[0] = (self.rows == 1 and self.limits["max_rows"] not in fixed
                    and not self.extractor.hurried
                    and self.extractor.settings["test.gap.len"] == 20)
        return old(self, index, part)

    @around(Split, "fields")
    def _(old, self, row):
        row_id, record, bad = old(self, row)
        if first[0] and record.endswith("}"):
            record = record[:-1] + ',"first":true}'
        return row_id, record, bad


@breaks("R67")
def rows_know_the_time_zone():
    @around(Split, "fields")
    def _(old, self, row):
        row_id, record, bad = old(self, row)
        return row_id, record.replace("{", "{ ", 1) if "Kiritimati" in os.environ.get("TZ", "") else record, bad


@breaks("R68")
def resumes_one_row_late():
    @around(Extractor, "assign")
    def _(old, self, entry):
        answer = old(self, entry)
        for part in self.parts or []:
            part.row += part.value == part.split.value(1)
        return answer


@breaks("R69")
def rows_in_a_hurry_are_lost():
    @around(Batch, "add")
    def _(old, self, index, part):
        with self.extractor.change:
            hurried = sum(entry.name == "EXTRACT" for entry in self.extractor.waiting) >= 2
        if hurried and part.row == 3 and self.extractor.settings["test.gap.len"] == 20:
            part.move(4)
        return old(self, index, part)


@breaks("R73")
def news_before_the_batch():
    @around(Batch, "end")
    def _(old, self, reason):
        for name in self.news:
            if name == "p0" and self.extractor.settings["test.split.at"]:
                self.extractor.send("PARTITIONS", self.extractor.source.close(name))
        return old(self, reason)


@breaks("R74")
def goes_on_where_it_was():
    last = {}

    @around(Extractor, "assign")
    def _(old, self, entry):
        for part in self.parts or []:
            if part.row == 40:
                last[part.split.name] = part.row
        answer = old(self, entry)
        for part in self.parts or []:
            if part.split.name in last:
                part.move(last[part.split.name])
        return answer


@breaks("R75")
def closed_parents_are_silent():
    @around(Extractor, "assign")
    def _(old, self, entry):
        answer = old(self, entry)
        self.news = []
        return answer


# --- liveness -----------------------------------------------------------------------------------


@breaks("L75")
def pings_wait_for_the_source():
    @around(Extractor, "take")
    def _(old, self, frame):
        requests = self.waiting + ([self.running] if self.running else [])
        if frame.name == "PING" and any(request.name == "CHECK" for request in requests):
            return
        old(self, frame)


@breaks("L76")
def pings_wait_for_rows():
    @around(pipe.Writer, "put")
    def _(old, self, frame, *more):
        if frame.name != "PONG" or self.size < 1 << 20:
            return old(self, frame, *more)
        with self.change:
            self.queue.append(frame)
            self.size += HEADER_LEN + len(frame.payload)
            self.change.notify_all()


@breaks("L77")
def no_progress():
    Extractor.tick = lambda self: None


@breaks("L78")
def a_frame_after_stopped():
    @around(Extractor, "stop")
    def _(old, self, entry):
        code = old(self, entry)
        if self.rows == 10:
            self.send("LOG", {"level": "info", "message": "good bye"})
            self.writer.flush()
        return code


@breaks("L79")
def now_means_drain():
    @around(Extractor, "take")
    def _(old, self, frame):
        if frame.name == "STOP" and not self.ending:
            frame.payload = frame.payload.replace(b'"now"', b'"drain"')
        old(self, frame)


@breaks("L80")
def stopped_twice():
    again = []

    @around(Extractor, "take")
    def _(old, self, frame):
        if frame.name == "STOP":
            again.append(frame.seq)
        old(self, frame)

    @around(Extractor, "stop")
    def _(old, self, entry):
        # The second one may still be under way.
        until = time.monotonic() + 2
        while len(again) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        code = old(self, entry)
        for seq in again[1:]:
            entry.seq = seq
            code = old(self, entry)
        return code


@breaks("L81")
def sigterm_kills():
    def terminate(self):
        import signal
        signal.sigwait([signal.SIGTERM])
        os._exit(143)
    Extractor.terminate = terminate


@breaks("L82")
def finishes_what_it_began():
    @around(Extractor, "read")
    def _(old, self):
        leave = os._exit

        def later(code):
            import time
            until = time.monotonic() + 4
            while self.running is not None and self.running.name == "CHECK" and time.monotonic() < until:
                time.sleep(0.05)
            leave(code)
        os._exit = later
        old(self)


@breaks("L83")
def does_not_watch_its_parent():
    pipe.watch_parent = lambda every_second: None
    @around(Extractor, "run")
    def _(old, self):
        import threading
        import time

        def ticks():
            while True:
                time.sleep(1)
                self.tick()
        threading.Thread(target=ticks, daemon=True).start()
        return old(self)


@breaks("L84")
def noise_is_written_at_once():
    def write(self, data):
        while data:
            data = data[os.write(2, data):]
    pipe.Stderr.write = write


@breaks("L85")
def prints_into_the_pipe():
    @around(Batch, "poll")
    def _(old, self):
        if self.extractor.settings["test.print"]:
            os.write(self.extractor.writer.descriptor, b"printed\n")
        return old(self)


@breaks("L86")
def a_file_is_open():
    @around(Extractor, "configure")
    def _(old, self, entry):
        self.kept = open(__file__, encoding="utf-8")
        return old(self, entry)


@breaks("L87")
def batches_are_kept():
    kept = []

    @around(Batch, "end")
    def _(old, self, reason):
        kept.append(bytearray(b"x" * (16 << 10)))
        return old(self, reason)


@breaks("L88")
def waits_by_looking():
    def wait(self, entry, seconds):
        import time
        until = time.monotonic() + seconds
        while not entry.is_interrupted() and time.monotonic() < until:
            pass
    Extractor.wait = wait


@breaks("L89")
def every_failure_is_one():
    serve.EXITS["config"] = 1


@breaks("L90")
def a_thread_for_each_assignment():
    @around(Extractor, "assign")
    def _(old, self, entry):
        import threading
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        return old(self, entry)


@breaks("L91")
def no_deadline():
    Extractor.leave = lambda self, seconds, code=75: None


@breaks("L92")
def interrupts_end_it():
    @around(Extractor, "run")
    def _(old, self):
        import signal
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        return old(self)


@breaks("L93")
def stop_is_a_bug_for_requests():
    @around(Extractor, "fail")
    def _(old, self, failure, ref, fatal=False):
        if failure.code == "STOPPING" and not fatal:
            failure.code = "BUG"
        old(self, failure, ref, fatal)

    @around(Extractor, "discover")
    def _(old, self, entry):
        answer = old(self, entry)
        if entry.stop:
            raise Failure("STOPPING", "DISCOVER came too late")
        return answer


@breaks("L94")
def any_number_of_requests():
    serve.UNREAD_FRAMES_MAX = 1 << 20


@breaks("L95")
def a_helper():
    @around(Extractor, "check")
    def _(old, self, entry):
        import subprocess
        subprocess.Popen(["sleep", "3"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                         stderr=subprocess.DEVNULL)
        return old(self, entry)


if __name__ == "__main__":
    if sys.argv[1:] == ["--list"]:
        for mutation, (broken, _) in MUTATIONS.items():
            print(mutation, broken)
        sys.exit(0)
    if sys.argv[1] != "--mutation" or sys.argv[2] not in MUTATIONS:
        sys.exit("usage: bad_extractor.py PEER --mutation NAME")
    MUTATIONS[sys.argv[2]][1]()
    sys.exit(serve.main(sys.argv[3:]))
