"""JSON payloads (SPEC.md section 4): which fields there are, of which type, with which default."""

from . import canon
from .frames import WireError

REASONS = ["rows", "bytes", "interval", "idle", "until", "cancel", "stop", "void", "eof", "other"]
PHASES = ["connecting", "polling", "throttled", "backoff", "other"]
CODES = {
    "usage": ["NOT_A_HOST"],
    "protocol": ["BAD_MAGIC", "BAD_CRC", "BAD_SEQ", "TOO_LARGE", "TRUNCATED", "UNEXPECTED_MESSAGE",
                 "BAD_PAYLOAD", "UNSUPPORTED", "VERSION_MISMATCH"],
    "config": ["CONFIG_INVALID", "CONFIG_UNKNOWN_CLASS", "CONFIG_MISSING"],
    "auth": ["AUTH_FAILED", "PERMISSION_DENIED", "CREDENTIALS_EXPIRED"],
    "source": ["SOURCE_NOT_FOUND", "SOURCE_RECREATED"],
    "transient": ["SOURCE_UNAVAILABLE", "SOURCE_THROTTLED", "TIMEOUT", "TLS_HANDSHAKE", "DNS"],
    "offset": ["OFFSET_OUT_OF_RANGE", "OFFSET_INVALID", "OFFSET_INCARNATION"],
    "data": ["DECODE_FAILED", "ROW_TOO_LARGE", "ROW_REFUSED", "SCHEMA_INCOMPATIBLE", "INVALID_UTF8"],
    "resource": ["OUT_OF_MEMORY", "BUFFER_LIMIT", "FD_LIMIT"],
    "cancelled": ["CANCELLED", "STOPPING"],
    "internal": ["PANIC", "BUG"],
}
CLASS_OF = {code: name for name, codes in CODES.items() for code in codes}
EXITS = {"usage": 64, "protocol": 76, "config": 78, "auth": 77, "source": 69, "transient": 75,
         "offset": 65, "data": 65, "resource": 71, "cancelled": 0, "internal": 70}

REQUIRED = object()


def whole(low, high):
    """An integer in a range."""
    def read(value):
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise canon.Refused(f"no integer in {low}..{high}")
        return value
    return read


U32 = whole(0, (1 << 32) - 1)
U64 = whole(0, (1 << 64) - 1)
I64 = whole(-(1 << 63), (1 << 63) - 1)


def kind(python_type, name):
    """A value of a JSON type."""
    def read(value):
        if not isinstance(value, python_type):
            raise canon.Refused(f"no {name}")
        return value
    return read


TEXT, FLAG, OBJECT = kind(str, "text"), kind(bool, "boolean"), kind(dict, "object")


def words(known, other):
    """A word; one that is not known has a documented meaning."""
    return lambda value: value if TEXT(value) in known else other


def many(item):
    """An array."""
    return lambda value: [item(one) for one in kind(list, "array")(value)]


def fields(**known):
    """An object with known fields: name = (type, default or REQUIRED)."""
    def read(value):
        OBJECT(value)
        out = {}
        for name, (read_field, default) in known.items():
            if name in value and (value[name] is not None or default is not None):
                try:
                    out[name] = read_field(value[name])
                except canon.Refused as error:
                    raise canon.Refused(f"{name}: {error}") from None
            elif default is REQUIRED:
                raise canon.Refused(f"{name} is missing")
            else:
                out[name] = default() if callable(default) else default
        return out
    return read


def key(value):
    """A KEY, as its canonical text."""
    return canon.key(value)


def place(value):
    """A VALUE, as its canonical text."""
    return canon.place(value)


def start(value):
    """`earliest`, `latest` or a timestamp."""
    if value in ("earliest", "latest"):
        return value
    if isinstance(value, dict) and list(value) == ["timestamp"]:
        return I64(value["timestamp"])
    raise canon.Refused("no start")


LEVEL = (TEXT, "info")
PEER = fields(name=(TEXT, REQUIRED), version=(TEXT, REQUIRED))
LIMITS = fields(max_frame=(U32, 67108864))
ENTRY = fields(key=(key, REQUIRED), value=(place, REQUIRED))
PART_VALUE = fields(part=(U32, REQUIRED), value=(place, REQUIRED))
SETTINGS = fields(pipeline=(TEXT, ""), leaf=(U32, 0), task=(U32, 0),
                  max_row_bytes=(U64, 33554432), retry_ms=(U64, 30000))
MOVE = fields(part=(U32, REQUIRED), rows=(U64, REQUIRED), errors=(U64, 0), digest=(TEXT, None),
              **{"from": (place, REQUIRED), "to": (place, REQUIRED)})
LAG = fields(rows=(U64, None), ms=(U64, None))
PART_LAG = fields(part=(U32, REQUIRED), rows=(U64, None), ms=(U64, None))
REFUSED = fields(part=(U32, REQUIRED), row=(U64, REQUIRED), digest=(TEXT, REQUIRED),
                 reason=(TEXT, REQUIRED))
EMPTY = fields()

PAYLOADS = {
    "HELLO": fields(protocols=(many(U32), REQUIRED), features=(many(TEXT), list),
                    limits=(LIMITS, lambda: LIMITS({})), host=(PEER, REQUIRED),
                    session=(TEXT, REQUIRED), log_level=LEVEL),
    "HELLO_OK": fields(protocol=(U32, REQUIRED), features=(many(TEXT), list),
                       limits=(LIMITS, lambda: LIMITS({})), extractor=(PEER, REQUIRED),
                       sources=(many(fields(**{"class": (TEXT, REQUIRED),
                                               "offset_key": (many(TEXT), list)})), list)),
    "CONFIGURE": fields(config=(OBJECT, REQUIRED), credentials=(OBJECT, dict),
                        settings=(SETTINGS, lambda: SETTINGS({}))),
    "CONFIGURED": fields(warnings=(many(TEXT), list),
                         unknown_config=(many(fields(key=(TEXT, REQUIRED), nearest=(TEXT, None))),
                                         list),
                         effective=(OBJECT, dict)),
    "CHECK": EMPTY,
    "CHECKED": fields(checks=(many(fields(name=(TEXT, REQUIRED), ms=(U64, REQUIRED))), REQUIRED)),
    "DISCOVER": EMPTY,
    "DISCOVERED": fields(incarnation=(TEXT, ""),
                         splits=(many(fields(key=(key, REQUIRED), parents=(many(key), list),
                                             closed=(FLAG, False))), REQUIRED)),
    "GET_OFFSETS": fields(start=(start, REQUIRED), keys=(many(key), REQUIRED)),
    "OFFSETS": fields(offsets=(many(ENTRY), REQUIRED)),
    "ASSIGN": fields(sync=(TEXT, REQUIRED), incarnation=(TEXT, ""), parts=(many(ENTRY), REQUIRED),
                     refused=(many(REFUSED), list)),
    "ASSIGNED": fields(parts=(U32, REQUIRED)),
    "EXTRACT": fields(max_rows=(U64, REQUIRED), max_bytes=(U64, REQUIRED),
                      max_interval_ms=(U64, REQUIRED), until=(many(PART_VALUE), list)),
    "COMMIT": fields(batch=(U64, REQUIRED)),
    "CANCEL": EMPTY,
    "STOP": fields(mode=(words(["drain"], "now"), REQUIRED), deadline_ms=(U64, 5000)),
    "STOPPED": fields(batches=(U64, REQUIRED), rows=(U64, REQUIRED), uptime_ms=(U64, REQUIRED),
                      max_rss_bytes=(U64, REQUIRED)),
    "UPDATE": fields(credentials=(OBJECT, None), log_level=(TEXT, None)),
    "UPDATED": fields(applied=(many(TEXT), REQUIRED)),
    "BATCH_END": fields(batch=(U64, REQUIRED), rows=(U64, REQUIRED), errors=(U64, 0),
                        bytes=(U64, REQUIRED), frames=(U64, REQUIRED),
                        reason=(words(REASONS, "other"), REQUIRED),
                        offsets=(many(MOVE), REQUIRED), lag=(LAG, lambda: LAG({})),
                        lags=(many(PART_LAG), list),
                        caught_up=(FLAG, False)),
    "PROGRESS": fields(phase=(words(PHASES, "other"), REQUIRED), retry_after_ms=(U64, None),
                       rss_bytes=(U64, 0), message=(TEXT, None)),
    "PARTITIONS": fields(closed=(many(key), list),
                         added=(many(fields(key=(key, REQUIRED), parents=(many(key), list),
                                            value=(place, REQUIRED))), list)),
    "LOG": fields(level=(TEXT, REQUIRED), target=(TEXT, ""), message=(TEXT, REQUIRED),
                  suppressed=(U64, 0)),
    "ERROR": fields(code=(words(CLASS_OF, "BUG"), REQUIRED),
                    **{"class": (words(CODES, "internal"), REQUIRED)},
                    message=(TEXT, REQUIRED), retryable=(FLAG, False), fatal=(FLAG, False),
                    part=(U32, None), at=(place, None), retry_after_ms=(U64, None),
                    detail=(OBJECT, dict)),
}


def read(frame):
    """The payload of a frame with a JSON payload, defaults filled in."""
    try:
        return PAYLOADS[frame.name](canon.parse(frame.payload))
    except canon.Refused as error:
        raise WireError("BAD_PAYLOAD", f"payload of {frame.name} is refused: {error}") from None
