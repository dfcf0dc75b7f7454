"""The test source (SPEC.md appendix E)."""

import difflib

from . import avro, canon
from .messages import CLASS_OF

MASK = (1 << 64) - 1
PLAIN = "abcdefghijklmnopqrstuvwxyz012345"
MIXED = ("abcdefghijklmnop\u00e9\u00df\u00f1\u00f8\u03bb\u0436\u05e9\u3042\u6f22\u5b57\ud55c"
         "\U0001f600\"\\\n\u0001")
MOST = (1 << 53) - 1


class Failure(Exception):
    """What ERROR says."""

    def __init__(self, code, message, **more):
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.more = code, message, more


def _number(most):
    def read(value):
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise ValueError(f"a whole number up to {most}")
        return value
    return read


def _flag(value):
    known = {True: True, False: False, "true": True, "false": False}
    if not isinstance(value, (bool, str)) or value not in known:
        raise ValueError("true or false")
    return known[value]


def _text(value):
    if not isinstance(value, str):
        raise ValueError("text")
    return value


def _code(value):
    if value not in CLASS_OF:
        raise ValueError("a code of the protocol")
    return value


KEYS = {
    "connector.class": (_text, None),
    "test.seed": (_number(MASK), 0), "test.splits": (_number(4096), 1),
    "test.rows": (_number(MOST), 1000), "test.row.bytes": (_number(83886080), 100),
    "test.topic": (_text, "test"), "test.tombstone.every": (_number(MOST), 0),
    "test.unicode": (_flag, False), "test.error.every": (_number(MOST), 0),
    "test.gap.at": (_number(MOST), 0), "test.gap.len": (_number(MOST), 0),
    "test.close": (_flag, False), "test.split.at": (_number(MOST), 0),
    "test.stall.at": (_number(MOST), 0), "test.stall.ms": (_number(MOST), 0),
    "test.throttle.ms": (_number(MOST), 0), "test.fail.at": (_number(MOST), None),
    "test.fail.code": (_code, None), "test.stderr.flood": (_number(1 << 30), 0),
    "test.print": (_flag, False), "test.connect.ms": (_number(3600000), 0),
}


def configure(config):
    """The settings, and the keys that are not known."""
    if config.get("connector.class") is None:
        raise Failure("CONFIG_MISSING", "connector.class is missing",
                      detail={"pointer": "/config/connector.class"})
    if config["connector.class"] != "test":
        raise Failure("CONFIG_UNKNOWN_CLASS", "connector.class is not one of: test",
                      detail={"pointer": "/config/connector.class"})
    settings = {name: default for name, (_, default) in KEYS.items()}
    unknown = []
    for name, value in config.items():
        if name not in KEYS:
            near = difflib.get_close_matches(name, KEYS, 1)
            unknown.append({"key": name, "nearest": near[0]} if near else {"key": name})
            continue
        try:
            settings[name] = KEYS[name][0](value)
        except ValueError as error:
            raise Failure("CONFIG_INVALID", f"{name} is not {error}",
                          detail={"pointer": f"/config/{name}"}) from None
    if settings["test.splits"] == 0:
        raise Failure("CONFIG_INVALID", "test.splits is 0",
                      detail={"pointer": "/config/test.splits"})
    return settings, unknown


def fnv1a64(data):
    """FNV-1a of 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & MASK
    return value


class Split:
    """The rows of one split."""

    def __init__(self, settings, name):
        self.settings, self.name = settings, name
        self.key = canon.canonical({"gen": name})
        branches = name == "p0" and settings["test.split.at"] > 0
        self.rows = settings["test.split.at"] if branches else settings["test.rows"]
        self.closes = branches or settings["test.close"]
        self.start = settings["test.seed"] ^ fnv1a64(name.encode("utf-8"))
        self.alphabet = MIXED if settings["test.unicode"] else PLAIN

    def value(self, row, closed=False):
        """The VALUE of a place, canonical."""
        return f'{{"closed":true,"row":{row}}}' if closed else f'{{"row":{row}}}'

    def place(self, text):
        """Row and closed of a VALUE."""
        value = {name: item for name, item in canon.parse(text.encode()).items()
                 if not name.startswith("x-")}
        closed = value.pop("closed", None)
        row = value.pop("row", None)
        if value or not isinstance(row, int) or isinstance(row, bool) or row < 0 or (
                closed is not None and closed is not True):
            raise Failure("OFFSET_INVALID", f"{text} is no place in a split of the test source")
        if row > self.rows or (closed and (row != self.rows or not self.closes)):
            raise Failure("OFFSET_OUT_OF_RANGE", f"{self.key} has {self.rows} rows, not {text}",
                          detail={"earliest": 0, "latest": self.rows})
        return row, bool(closed)

    def random(self, row):
        """The number of a row."""
        z = self.start + (row + 1) * 0x9E3779B97F4A7C15 & MASK
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
        return z ^ z >> 31

    def fields(self, row):
        """Id, record (None for a tombstone's null) and whether it is an error row."""
        settings, n = self.settings, self.random(row)
        row_id = f'{{"gen":"{self.name}","row":{row}}}'
        every, bad = settings["test.tombstone.every"], settings["test.error.every"]
        if every and (row + 1) % every == 0:
            record = "null"
        else:
            twelve = [self.alphabet[n >> 5 * j & 31] for j in range(12)]
            length = settings["test.row.bytes"]
            payload = ("".join(twelve) * (length // 12 + 1))[:length]
            record = (f'{{"gen":"{self.name}","n":"{n}","payload":{canon.quote(payload)},'
                      f'"row":{row}}}')
        return row_id, record, bool(bad) and (row + 1) % bad == 0

    def datum(self, row):
        """The encoded row and whether it is an error row."""
        row_id, record, bad = self.fields(row)
        if bad:
            return avro.write_error(self.error(row, row_id, record, "DECODE_FAILED",
                                               "declared bad by test.error.every")), True
        return avro.write_row(self.settings["test.topic"], row_id, record), False

    def error(self, row, row_id, record, code, reason):
        """An error row."""
        return {"split": self.key, "position": self.value(row), "timestamp": None,
                "key": row_id.encode("utf-8"),
                "value": record.encode("utf-8"), "headers": [],
                "code": code, "reason": reason}

    def skip(self, row, limit):
        """Where a place goes over the gap."""
        at, length = self.settings["test.gap.at"], self.settings["test.gap.len"]
        return min(at + length, limit) if at <= row < at + length else row


class Source:
    """All splits; `closed` are those that this process read to their end."""

    def __init__(self, settings):
        self.settings = settings
        self.closed = set()

    def names(self):
        """The splits that exist."""
        names = [f"p{index}" for index in range(self.settings["test.splits"])]
        return names + (["p0a", "p0b"] if self.settings["test.split.at"] else [])

    def split(self, key_text):
        """The split of a KEY."""
        key = canon.parse(key_text.encode())
        if list(key) != ["gen"] or not isinstance(key["gen"], str):
            raise Failure("OFFSET_INVALID", f"{key_text} is no split of the test source")
        if key["gen"] not in self.names():
            raise Failure("SOURCE_NOT_FOUND", f"there is no split {key_text}")
        return Split(self.settings, key["gen"])

    def incarnation(self):
        """Which life this is."""
        return f"test-{self.settings['test.seed']}"

    def discover(self):
        """DISCOVERED."""
        splits = []
        for name in self.names():
            child = name in ("p0a", "p0b")
            split = {"key": {"gen": name}}
            if child:
                split["parents"] = [{"gen": "p0"}]
            split["closed"] = Split(self.settings, name).closes
            splits.append(split)
        splits.sort(key=lambda split: canon.canonical(split["key"]).encode())
        return {"incarnation": self.incarnation(), "splits": splits}

    def offset(self, start, key_text):
        """One entry of OFFSETS."""
        split = self.split(key_text)
        if start == "earliest":
            row = 0
        elif start == "latest":
            row = split.rows
        else:
            row = min(max(start, 0), split.rows)
        return {"key": {"gen": split.name}, "value": {"row": row}}

    def close(self, name):
        """PARTITIONS when a split was read to its end."""
        self.closed.add(name)
        children = ("p0a", "p0b") if name == "p0" and self.settings["test.split.at"] else ()
        return {"closed": [{"gen": name}],
                "added": [{"key": {"gen": child}, "parents": [{"gen": "p0"}], "value": {"row": 0}}
                          for child in children]}
