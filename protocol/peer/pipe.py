"""The process contract (SPEC.md sections 1 and 12): descriptors, threads, how the process ends."""

import collections
import fcntl
import os
import stat
import sys
import threading
import time

from .frames import HEADER_LEN, OVERTAKES, encode

QUEUE_BYTES_MAX = 4 << 20
STDERR_BYTES_MAX = 64 << 10


def is_pipe(descriptor):
    """Whether it is a pipe or a socket."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def take_descriptors():
    """Private copies of 0 and 1; what a library reads or prints goes elsewhere."""
    source = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)
    sink = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return source, sink


class Stderr:
    """Text for people: a thread writes it, and what does not fit is dropped."""

    def __init__(self):
        self.lines, self.size, self.change = collections.deque(), 0, threading.Condition()
        threading.Thread(target=self.run, daemon=True).start()

    def write(self, data):
        """Queues or drops bytes."""
        with self.change:
            if self.size + len(data) <= STDERR_BYTES_MAX:
                self.lines.append(data)
                self.size += len(data)
                self.change.notify()

    def run(self):
        """The thread."""
        while True:
            with self.change:
                while not self.lines:
                    self.change.wait()
                data = self.lines.popleft()
                self.size -= len(data)
            try:
                while data:
                    data = data[os.write(2, data):]
            except OSError:
                pass  # nobody reads it


class Writer:
    """The one writer: gives the sequence number and the checksum when a frame's turn comes."""

    def __init__(self, descriptor):
        self.descriptor, self.seq = descriptor, 0
        self.queue, self.urgent, self.size, self.busy = collections.deque(), collections.deque(), 0, False
        self.change = threading.Condition()
        threading.Thread(target=self.run, daemon=True).start()

    def put(self, frame, give_up=lambda: False):
        """Queues a frame; waits while the queue is full, unless `give_up` says so."""
        with self.change:
            if frame.name in OVERTAKES:
                if len(self.urgent) < 256:
                    self.urgent.append(frame)
            else:
                while self.size > QUEUE_BYTES_MAX:
                    if give_up():
                        return
                    self.change.wait(0.05)
                self.queue.append(frame)
                self.size += HEADER_LEN + len(frame.payload)
            self.change.notify_all()

    def purge(self, ref):
        """Forgets queued rows of a credit."""
        with self.change:
            kept = [frame for frame in self.queue if (frame.name, frame.ref) != ("BATCH", ref)]
            self.queue = collections.deque(kept)
            self.size = sum(HEADER_LEN + len(frame.payload) for frame in kept)
            self.change.notify_all()

    def flush(self):
        """Waits until everything is written."""
        with self.change:
            while self.queue or self.urgent or self.busy:
                self.change.wait()

    def run(self):
        """The thread."""
        while True:
            with self.change:
                while not self.queue and not self.urgent:
                    self.change.wait()
                if self.urgent:
                    frame = self.urgent.popleft()
                else:
                    frame = self.queue.popleft()
                    self.size -= HEADER_LEN + len(frame.payload)
                self.busy = True
                self.change.notify_all()
            data = memoryview(encode(frame, self.seq) + frame.payload)
            self.seq = self.seq + 1 & 0xFFFFFFFF
            try:
                while data:
                    data = data[os.write(self.descriptor, data):]
            except OSError:
                os._exit(0)  # the host is gone
            with self.change:
                self.busy = False
                self.change.notify_all()


def watch_parent(every_second):
    """Ends the process when its parent does; calls `every_second` meanwhile."""
    parent = os.getppid()

    def run():
        while True:
            time.sleep(1)
            if os.getppid() != parent:
                os._exit(0)
            every_second()
    threading.Thread(target=run, daemon=True).start()


def harden():
    """No core, not dumpable: memory holds secrets."""
    try:
        import resource
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        import ctypes
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
    except (ImportError, OSError, AttributeError, ValueError):
        pass


def resident():
    """Resident memory in bytes."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def explain_and_leave():
    """Somebody started the program by hand."""
    sys.stderr.write("extractor: run by a database, not by hand: descriptors 0 and 1 must be pipes "
                     "(SPEC.md section 1)\n")
    return 64
