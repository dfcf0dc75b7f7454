"""The extractor: answers requests in order, reads the test source for credits."""

import os
import re
import resource
import signal
import threading
import time

from . import avro, canon, pipe, source
from .batch import Batch, Part
from .frames import ANSWERS, NONE, Frame, FrameReader, WireError
from .limits import ROW_BYTES_MAX, UNREAD_BYTES_MAX, UNREAD_FRAMES_MAX
from .messages import CLASS_OF, EXITS
from .session import Broken, HostFrames
from .source import Failure

FEATURES = ["commit", "digest"]
SECRET_KEY = re.compile(r"secret|password|token|sasl\.jaas|key$", re.IGNORECASE)


class Entry:
    """A request that waits for its answer, and what the host said about it since."""

    def __init__(self, seq, name, epoch, message, size):
        self.seq, self.name, self.epoch, self.message, self.size = seq, name, epoch, message, size
        self.void = self.cancel = self.stop = False

    def is_interrupted(self):
        """Whether it must end early."""
        return self.void or self.cancel or self.stop


class Extractor:
    """One session."""

    def __init__(self, descriptors, stderr):
        self.input, output = descriptors
        self.stderr, self.writer = stderr, pipe.Writer(output)
        self.rules, self.change = HostFrames(), threading.Condition()
        self.waiting, self.running, self.ending = [], None, None
        self.phase, self.ticks, self.began = "polling", 0, time.monotonic()
        self.source = self.settings = None
        self.features, self.max_frame, self.row_max, self.retry_seconds = [], 0, 0, 0
        self.epoch, self.parts, self.marker = 0, [], b""
        self.batches = self.rows = 0
        self.news, self.stalled = [], None

    # --- the threads beside the main one ---------------------------------------------------------

    def read(self):
        """The input reader: parses, judges, marks, queues; waits for nothing but input."""
        reader = FrameReader(from_host=True)
        try:
            while True:
                data = os.read(self.input, 1 << 16)
                if not data:
                    reader.end()
                    os._exit(0)
                reader.feed(data)
                while (frame := reader.next()) is not None:
                    self.take(frame)
        except (WireError, Broken) as error:
            self.fatal(Failure(error.code, error.text))
        except OSError:
            os._exit(0)
        except BaseException as error:  # a bug must end the process, not a thread
            self.fatal(Failure("PANIC", f"bug in the input reader: {type(error).__name__}"))

    def take(self, frame):
        """Judges a frame of the host; what cannot wait takes effect at once."""
        with self.change:
            message = self.rules.receive(frame)
            if frame.name == "PING":
                self.writer.put(Frame("PONG", frame.payload, epoch=self.rules.epoch, ref=frame.seq))
                return
            if frame.name == "COMMIT":
                return
            open_entries = ([self.running] if self.running else []) + self.waiting
            if frame.name == "CANCEL":
                for entry in open_entries:
                    if entry.seq == frame.ref and entry.name != "STOP":
                        entry.cancel = True
            elif frame.name == "ASSIGN":
                for entry in open_entries:
                    entry.void |= entry.name == "EXTRACT"
            elif frame.name == "STOP":
                self.leave(message["deadline_ms"] / 1000)
                for entry in open_entries:
                    entry.stop = True
                    entry.void |= message["mode"] == "now" and entry.name == "EXTRACT"
            if frame.name in ANSWERS and not (frame.name == "STOP" and self.ending):
                self.ending = frame.name if frame.name == "STOP" else self.ending
                self.waiting.append(Entry(frame.seq, frame.name, frame.epoch, message,
                                          len(frame.payload)))
                held = ([self.running] if self.running else []) + self.waiting
                sizes = [0 if entry.name == "CONFIGURE" else entry.size for entry in held]
                if (len(sizes) > UNREAD_FRAMES_MAX
                        or sum(sizes) - max(sizes) > UNREAD_BYTES_MAX):
                    raise Broken("9", "more requests than this side holds", "BUFFER_LIMIT")
            self.change.notify_all()

    def terminate(self):
        """Waits for SIGTERM: STOP drain, by the system."""
        signal.sigwait([signal.SIGTERM])
        self.leave(5)
        with self.change:
            if self.ending is None:
                self.ending = "SIGTERM"
            for entry in ([self.running] if self.running else []) + self.waiting:
                entry.stop = True
            self.change.notify_all()

    def leave(self, seconds, code=EXITS["transient"]):
        """Arms the timer that ends the process whatever it waits for."""
        timer = threading.Timer(seconds, lambda: os._exit(code))
        timer.daemon = True
        timer.start()

    def tick(self):
        """Once a second: PROGRESS every five seconds while a request is open."""
        self.ticks += 1
        entry = self.running
        if self.ticks % 5 == 0 and entry is not None:
            self.progress(entry)

    def progress(self, entry):
        """PROGRESS."""
        self.send("PROGRESS", {"phase": self.phase, "rss_bytes": pipe.resident()}, ref=entry.seq)

    # --- answers ---------------------------------------------------------------------------------

    def send(self, name, message, ref=NONE):
        """Queues a control frame."""
        self.writer.put(Frame(name, canon.dumps(message), epoch=self.epoch, ref=ref))

    def fail(self, failure, ref, fatal=False):
        """ERROR."""
        group = CLASS_OF[failure.code]
        message = {"code": failure.code, "class": group,
                   "message": failure.message.encode()[:4096].decode(errors="ignore"),
                   "retryable": group in ("transient", "resource"), "fatal": fatal, **failure.more}
        self.send("ERROR", message, ref)

    def fatal(self, failure, ref=NONE):
        """ERROR that ends the process."""
        code = EXITS[CLASS_OF[failure.code]]
        self.leave(0.9, code)
        self.fail(failure, ref, fatal=True)
        self.writer.flush()
        os._exit(code)

    def run(self):
        """The main thread: one request after the other."""
        answer = {"HELLO": self.hello, "CONFIGURE": self.configure, "CHECK": self.check,
                  "DISCOVER": self.discover, "GET_OFFSETS": self.get_offsets,
                  "ASSIGN": self.assign, "EXTRACT": self.extract, "UPDATE": self.update}
        while True:
            with self.change:
                while not self.waiting and self.ending != "SIGTERM":
                    self.change.wait()
                entry = self.running = self.waiting.pop(0) if self.waiting else None
            if entry is None:
                self.fatal(Failure("STOPPING", "SIGTERM came"))
            if entry.name == "STOP":
                return self.stop(entry)
            try:
                if entry.name != "EXTRACT" and entry.cancel:
                    raise Failure("CANCELLED", f"{entry.name} was cancelled")
                if entry.name != "EXTRACT" and entry.stop:
                    raise Failure("STOPPING", f"{entry.name} came too late")
                reply = answer[entry.name](entry)
                if reply is not None:
                    self.send(ANSWERS[entry.name], reply, entry.seq)
            except Failure as failure:
                if entry.name == "CONFIGURE":
                    self.fatal(failure, entry.seq)
                self.fail(failure, entry.seq)
            with self.change:
                self.rules.answered()
                self.running = None
            self.after(entry)

    def after(self, entry):
        """What follows an answer: the schemas after ASSIGNED, news about splits."""
        if entry.name == "ASSIGN" and self.parts is not None:
            for number, schema in ((avro.ERROR_SCHEMA_NUMBER, avro.ERROR_SCHEMA),
                                   (avro.STATIC_SCHEMA_NUMBER, avro.STATIC_SCHEMA)):
                payload = avro.write_header(number, schema, self.marker)
                self.writer.put(Frame("SCHEMA", payload, epoch=self.epoch))
        while self.news:
            self.send("PARTITIONS", self.news.pop(0))

    def hello(self, entry):
        """HELLO_OK."""
        offer = entry.message
        self.features = [name for name in FEATURES if name in offer["features"]]
        self.max_frame = min(offer["limits"]["max_frame"], 67108864)
        return {"protocol": 1, "features": self.features, "limits": {"max_frame": self.max_frame},
                "extractor": {"name": "python-peer", "version": "1"},
                "sources": [{"class": "test", "offset_key": ["gen"]}]}

    def configure(self, entry):
        """CONFIGURED."""
        self.settings, unknown = source.configure(entry.message["config"])
        self.source = source.Source(self.settings)
        self.retry_seconds = entry.message["settings"]["retry_ms"] / 1000
        self.row_max = min(entry.message["settings"]["max_row_bytes"], ROW_BYTES_MAX,
                           self.max_frame - 1024)
        effective = {name: "***" if SECRET_KEY.search(name) else value
                     for name, value in self.settings.items() if value is not None}
        return {"warnings": [], "unknown_config": unknown, "effective": effective}

    def connect(self, entry):
        """Takes test.connect.ms."""
        self.phase = "connecting"
        self.wait(entry, self.settings["test.connect.ms"] / 1000)
        self.phase = "polling"
        if entry.cancel:
            raise Failure("CANCELLED", f"{entry.name} was cancelled")

    def check(self, entry):
        """CHECKED."""
        self.connect(entry)
        return {"checks": [{"name": "test source", "ms": 0}]}

    def discover(self, entry):
        """DISCOVERED."""
        self.connect(entry)
        return self.source.discover()

    def get_offsets(self, entry):
        """OFFSETS."""
        start = entry.message["start"]
        return {"offsets": [self.source.offset(start, key) for key in entry.message["keys"]]}

    def update(self, entry):
        """UPDATED: the test source has no use for credentials."""
        return {"applied": [name for name, value in entry.message.items() if value is not None]}

    def assign(self, entry):
        """ASSIGNED."""
        message = entry.message
        self.epoch, self.parts, self.marker = entry.epoch, None, message["sync"]
        if message["incarnation"] not in ("", self.source.incarnation()):
            raise Failure("SOURCE_RECREATED", f"the source is {self.source.incarnation()}, "
                          f"the offsets are of {message['incarnation']}")
        parts = []
        for index, given in enumerate(message["parts"]):
            try:
                parts.append(Part(self.source.split(given["key"]), given["value"]))
            except Failure as failure:
                failure.more.update(part=index, at=canon.parse(given["value"].encode()))
                raise
        self.parts = parts
        self.stalled = None if self.stalled is None else 0  # once in a process
        self.news = [self.source.close(part.split.name) for part in parts if part.closed]
        return {"parts": len(parts)}

    def stop(self, entry):
        """STOPPED, the last frame."""
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        self.send("STOPPED", {"batches": self.batches, "rows": self.rows, "max_rss_bytes": used,
                              "uptime_ms": int(1000 * (time.monotonic() - self.began))}, entry.seq)
        self.writer.flush()
        return 0

    # --- batches ---------------------------------------------------------------------------------

    def extract(self, entry):
        """BATCH frames, then BATCH_END."""
        if self.parts is None or entry.void:
            return self.void(entry)
        batch = Batch(self, entry)
        reason = batch.read()
        if entry.void:
            batch.undo()
            return self.void(entry)
        batch.flush()
        if entry.void:  # it came while a frame waited for room
            batch.undo()
            return self.void(entry)
        self.batches += 1
        self.rows += batch.rows
        self.news += [self.source.close(name) for name in batch.news]
        return batch.end(reason)

    def void(self, entry):
        """A credit that ASSIGN or STOP took back."""
        self.writer.purge(entry.seq)
        return {"batch": 0, "rows": 0, "errors": 0, "bytes": 0, "frames": 0, "reason": "void",
                "offsets": []}

    def wait(self, entry, seconds):
        """Waits; ends early when the host wants the request to end."""
        until = time.monotonic() + seconds
        with self.change:
            while not entry.is_interrupted() and (left := until - time.monotonic()) > 0:
                self.change.wait(left)


def main(arguments):
    """The program; its exit code."""
    if arguments == ["--version"]:
        print("python-peer 1 (s2x/1)")
        return 0
    if arguments == ["--help"]:
        print("usage: extractor [--log-level LEVEL] [--pipeline NAME] [--task N] [--dumpable]\n"
              "       extractor --version | --help")
        return 0
    dumpable = "--dumpable" in arguments
    values = [argument for argument in arguments if argument != "--dumpable"]
    known = all(name in ("--log-level", "--pipeline", "--task") for name in values[::2])
    if not pipe.is_pipe(0) or not pipe.is_pipe(1) or not known or len(values) % 2:
        return pipe.explain_and_leave()
    descriptors = pipe.take_descriptors()
    if not dumpable:
        pipe.harden()
    for ignored in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(ignored, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    extractor = Extractor(descriptors, pipe.Stderr())
    for thread in (extractor.read, extractor.terminate):
        threading.Thread(target=thread, daemon=True).start()
    pipe.watch_parent(extractor.tick)
    try:
        code = extractor.run()
    except BaseException as error:  # nothing may leave a half-dead process behind
        extractor.stderr.write(f"bug: {error!r}\n".encode())
        extractor.fatal(Failure("PANIC", f"bug in the extractor: {type(error).__name__}"))
        code = 70
    os._exit(code)
