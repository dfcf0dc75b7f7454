"""compare.py KCAT_LINES SQLITE_FILE TABLE COUNT: the rows of Kafka Connect and ours, one for one.

Each line of the first file is the JSON of a key, a tab, and the JSON of a value, as JsonConverter wrote
them. A row is found by its shard and sequence number; id and record must be the same JSON values, and
within each shard both must come in the same order.
"""

import json
import sqlite3
import sys


def place(record):
    return record["shardId"], record["sequenceNumber"]


def main(lines, file, table, count):
    with open(lines, encoding="utf-8") as text:
        pairs = [line.rstrip("\n").split("\t") for line in text]
    theirs = [(json.loads(key), json.loads(value)) for key, value in pairs]
    rows = sqlite3.connect(file).execute(f'SELECT topic, id, record FROM "{table}" ORDER BY rowid')
    rows = [(topic, json.loads(id), json.loads(record)) for topic, id, record in rows]
    ours = {place(record): (id, record) for _, id, record in rows}
    wrong = []
    if {topic for topic, _, _ in rows} != {"kinesis-topic"}:
        wrong.append("the column topic is not kafka.topic")
    for name, held in (("Kafka Connect", [place(value) for _, value in theirs]), ("ours", list(ours))):
        if len(held) != count or len(set(held)) != count:
            wrong.append(f"{name}: {len(held)} rows, {len(set(held))} places, expected {count}")
    different = {}
    for key, value in theirs:
        id, record = ours.get(place(value), (None, {}))
        if id != key:
            different.setdefault("id", (key, id))
        if sorted(record) != sorted(value):
            different.setdefault("fields", (sorted(value), sorted(record)))
        for field in value:
            if record.get(field) != value[field]:
                different.setdefault(field, (value[field], record.get(field)))
    for field, (one, other) in different.items():
        wrong.append(f"{field} differs, first: {one!r} there, {other!r} here")
    for shard in {shard for shard, _ in ours}:
        one = [sequence for _, value in theirs for at, sequence in [place(value)] if at == shard]
        other = [sequence for at, sequence in ours if at == shard]
        if one != other:
            wrong.append(f"{shard}: another order")
    fields = sorted(theirs[0][1]) if theirs else []
    print("\n".join(wrong) or f"the same: {count} rows, one for one: topic, id, record ({', '.join(fields)}), order by shard")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
