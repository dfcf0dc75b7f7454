"""compare.py KCAT_LINES SQLITE_FILE TABLE COUNT: the rows of Kafka Connect and ours, one for one.

Each line of the first file is the JSON of a key, a tab, and the JSON of a value, as JsonConverter wrote
them. A row is found by its shard and sequence number, which no other row of the same side may have; id and
record must be the same JSON values, and within each shard both must come in the same order.

compare.py --self-test: rows that are doubled, missing, changed or in another order, on either side, are found.
"""

import json
import sqlite3
import sys


def place(record):
    return record["shardId"], record["sequenceNumber"]


def compare(theirs, rows, count):
    """What differs between pairs of key and value, and rows of topic, id and record."""
    wrong = []
    if {topic for topic, _, _ in rows} != {"kinesis-topic"}:
        wrong.append("the column topic is not kafka.topic")
    # Of all rows, not of those that a dictionary leaves: a row that came twice has the same place.
    our_places = [place(record) for _, _, record in rows]
    their_places = [place(value) for _, value in theirs]
    for name, held in (("Kafka Connect", their_places), ("ours", our_places)):
        if len(held) != count or len(set(held)) != count:
            wrong.append(f"{name}: {len(held)} rows, {len(set(held))} places, expected {count}")
    ours = {place(record): (id, record) for _, id, record in rows}
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
    for shard in sorted({shard for shard, _ in our_places + their_places}):
        one = [sequence for at, sequence in their_places if at == shard]
        other = [sequence for at, sequence in our_places if at == shard]
        if one != other:
            wrong.append(f"{shard}: another order, or other rows")
    return wrong


def main(lines, file, table, count):
    with open(lines, encoding="utf-8") as text:
        pairs = [line.rstrip("\n").split("\t") for line in text]
    theirs = [(json.loads(key), json.loads(value)) for key, value in pairs]
    rows = sqlite3.connect(file).execute(f'SELECT topic, id, record FROM "{table}" ORDER BY rowid')
    rows = [(topic, json.loads(id), json.loads(record)) for topic, id, record in rows]
    wrong = compare(theirs, rows, count)
    fields = sorted(theirs[0][1]) if theirs else []
    print("\n".join(wrong) or f"the same: {count} rows, one for one: topic, id, record ({', '.join(fields)}), order by shard")
    return 1 if wrong else 0


def self_test():
    def value(number):
        return {"shardId": f"shard-{number % 2}", "sequenceNumber": str(number), "data": f"data {number}"}

    theirs = [({"partitionKey": str(number)}, value(number)) for number in range(6)]
    rows = [("kinesis-topic", {"partitionKey": str(number)}, value(number)) for number in range(6)]
    cases = [
        ("the same", theirs, rows, True),
        ("shards in another order", theirs, rows[::2] + rows[1::2], True),
        ("ours doubled", theirs, rows + rows[3:4], False),
        ("ours doubled in place of another", theirs, rows[:5] + rows[3:4], False),
        ("theirs doubled", theirs + theirs[3:4], rows, False),
        ("both doubled", theirs + theirs[3:4], rows + rows[3:4], False),
        ("ours missing", theirs, rows[:5], False),
        ("theirs missing", theirs[:5], rows, False),
        ("another order", theirs, rows[2:4] + rows[:2] + rows[4:], False),
        ("another id", theirs, [("kinesis-topic", {}, value(0))] + rows[1:], False),
        ("another topic", theirs, [("other", *rows[0][1:])] + rows[1:], False),
        ("other data", theirs, [(*rows[0][:2], {**value(0), "data": ""})] + rows[1:], False),
    ]
    missed = [name for name, one, other, same in cases if (compare(one, other, 6) == []) is not same]
    print("not told apart: " + ", ".join(missed) if missed else f"self-test passed: {len(cases)} cases")
    return 1 if missed else 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test())
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
