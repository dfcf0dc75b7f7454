"""Container headers, blocks and the two fixed rows (SPEC.md section 5)."""

from . import canon
from .limits import BLOCK_ROWS_MAX, SCHEMA_BYTES_MAX, SCHEMA_META_MAX

MAGIC = b"Obj\x01"
MARKER_LEN = 16
ERROR_SCHEMA_NUMBER = 0
STATIC_SCHEMA_NUMBER = 1
STATIC_SCHEMA = (
    '{"type":"record","name":"row","fields":[{"name":"topic","type":"string"},'
    '{"name":"id","type":"string"},{"name":"record","type":"string"}]}')
ERROR_SCHEMA = (
    '{"type":"record","name":"error","fields":[{"name":"split","type":"string"},'
    '{"name":"position","type":"string"},{"name":"timestamp","type":["null","long"]},'
    '{"name":"key","type":["null","bytes"]},{"name":"value","type":["null","bytes"]},'
    '{"name":"headers","type":{"type":"array","items":{"type":"record","name":"header","fields":['
    '{"name":"name","type":"string"},{"name":"value","type":["null","bytes"]}]}}},'
    '{"name":"code","type":"string"},{"name":"reason","type":"string"}]}')
OPERATIONS = ["insert", "upsert", "delete", "error"]


class AvroError(Exception):
    """Bytes that are not what they should be."""


def put_long(out, value):
    """Appends a long."""
    rest = (value << 1) ^ (value >> 63)
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    out.append(rest)


def put_bytes(out, data):
    """Appends a length and bytes."""
    put_long(out, len(data))
    out += data


def put_optional(out, data):
    """Appends a union of null and bytes."""
    if data is None:
        put_long(out, 0)
    else:
        put_long(out, 1)
        put_bytes(out, data)


class Cursor:
    """Reads values one after the other."""

    def __init__(self, data):
        self.data, self.at = bytes(data), 0

    def left(self):
        """Bytes that were not read yet."""
        return len(self.data) - self.at

    def take(self, count):
        """The next bytes."""
        if count > self.left():
            raise AvroError(f"bytes end at {self.at}")
        self.at += count
        return self.data[self.at - count:self.at]

    def long(self):
        """The next long."""
        value = 0
        for index in range(10):
            byte = self.take(1)[0]
            if index == 9 and byte & 127 > 1:
                break
            value |= (byte & 127) << (7 * index)
            if byte < 128:
                return (value >> 1) ^ -(value & 1)
        raise AvroError("long of more than 64 bits")

    def count(self, limit):
        """The next length or count."""
        value = self.long()
        if not 0 <= value <= limit:
            raise AvroError(f"count {value} is not in 0..{limit}")
        return value

    def bytes(self):
        """The next bytes with their length in front."""
        return self.take(self.count(len(self.data)))

    def string(self):
        """The next string."""
        try:
            return self.bytes().decode("utf-8")
        except UnicodeDecodeError:
            raise AvroError("string is not UTF-8") from None

    def optional(self, read):
        """A union of null and something."""
        branch = self.long()
        if branch not in (0, 1):
            raise AvroError(f"union branch {branch}")
        return read() if branch else None


def write_header(number, schema, marker, topic=None, key_columns=()):
    """A SCHEMA payload."""
    meta = [("avro.schema", schema), ("avro.codec", "null"), ("s2x.schema", str(number))]
    if topic is not None:
        meta.append(("s2x.topic", topic))
    if key_columns:
        meta.append(("s2x.key", "[" + ",".join(map(canon.quote, key_columns)) + "]"))
    out = bytearray(MAGIC)
    put_long(out, len(meta))
    for name, value in meta:
        put_bytes(out, name.encode())
        put_bytes(out, value.encode())
    put_long(out, 0)
    return bytes(out + marker)


def _read_meta(cursor):
    meta = {}
    room = SCHEMA_META_MAX
    while True:
        count = cursor.count(room)
        if count == 0:
            return meta
        room -= count
        for _ in range(count):
            name = cursor.string()
            meta.setdefault(name, cursor.bytes())


def read_header(data):
    """What a SCHEMA payload says."""
    if len(data) > SCHEMA_BYTES_MAX:
        raise AvroError("header over the limit")
    cursor = Cursor(data)
    if cursor.take(4) != MAGIC:
        raise AvroError("no container")
    meta = _read_meta(cursor)
    marker = cursor.take(MARKER_LEN)
    if cursor.left():
        raise AvroError("bytes after the header")
    if meta.get("avro.codec", b"null") != b"null":
        raise AvroError("codec is not null")
    try:
        number = int(meta["s2x.schema"].decode("ascii"))
        topic = meta["s2x.topic"].decode("utf-8") if "s2x.topic" in meta else None
        columns = canon.parse(meta["s2x.key"]) if "s2x.key" in meta else []
        schema = meta["avro.schema"].decode("utf-8")
    except (KeyError, ValueError, canon.Refused) as error:
        raise AvroError(f"metadata: {error}") from None
    if not 0 <= number < 1 << 32:
        raise AvroError("schema number")
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise AvroError("key columns")
    return {"schema": number, "avro_schema": schema, "topic": topic, "key_columns": columns,
            "sync": marker.hex()}


def write_block(count, data, marker):
    """One block."""
    out = bytearray()
    put_long(out, count)
    put_bytes(out, data)
    return bytes(out + marker)


def read_blocks(data, marker):
    """The blocks of a BATCH payload after its prefix: (rows, bytes) each."""
    cursor = Cursor(data)
    blocks = []
    while cursor.left():
        count = cursor.count(BLOCK_ROWS_MAX)
        if count == 0:
            raise AvroError("block without rows")
        rows = cursor.bytes()
        if cursor.take(MARKER_LEN) != marker:
            raise AvroError("sync marker")
        blocks.append((count, rows))
    return blocks


def read_prefix(payload):
    """Schema number, operation and blocks of a BATCH payload."""
    if len(payload) < 8 or payload[4] >= len(OPERATIONS) or any(payload[5:8]):
        raise AvroError("prefix of BATCH")
    return int.from_bytes(payload[:4], "big"), OPERATIONS[payload[4]], payload[8:]


def write_prefix(schema, operation):
    """The eight bytes before the blocks."""
    return schema.to_bytes(4, "big") + bytes([OPERATIONS.index(operation), 0, 0, 0])


def write_row(topic, row_id, record):
    """A static row."""
    out = bytearray()
    for text in (topic, row_id, record):
        put_bytes(out, text.encode("utf-8"))
    return bytes(out)


def read_row(cursor):
    """A static row."""
    return {name: cursor.string() for name in ("topic", "id", "record")}


def write_error(row):
    """An error row."""
    out = bytearray()
    put_bytes(out, row["split"].encode())
    put_bytes(out, row["position"].encode())
    if row["timestamp"] is None:
        put_long(out, 0)
    else:
        put_long(out, 1)
        put_long(out, row["timestamp"])
    put_optional(out, row["key"])
    put_optional(out, row["value"])
    if row["headers"]:
        put_long(out, len(row["headers"]))
        for name, value in row["headers"]:
            put_bytes(out, name.encode())
            put_optional(out, value)
    put_long(out, 0)
    put_bytes(out, row["code"].encode())
    put_bytes(out, row["reason"].encode())
    return bytes(out)


def read_error(cursor):
    """An error row."""
    row = {"split": cursor.string(), "position": cursor.string(),
           "timestamp": cursor.optional(cursor.long), "key": cursor.optional(cursor.bytes),
           "value": cursor.optional(cursor.bytes), "headers": []}
    while count := cursor.count(BLOCK_ROWS_MAX):
        for _ in range(count):
            row["headers"].append([cursor.string(), cursor.optional(cursor.bytes)])
    row["code"], row["reason"] = cursor.string(), cursor.string()
    return row


def read_rows(count, data, read):
    """Exactly `count` rows out of a block's bytes."""
    cursor = Cursor(data)
    rows = [read(cursor) for _ in range(count)]
    if cursor.left():
        raise AvroError("bytes after the rows")
    return rows
