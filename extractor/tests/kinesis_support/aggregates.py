"""Writes testdata/aggregates/cases.json: aggregated records made by the PyPI package
aws_kinesis_agg 1.2.3, and what that package's own deaggregator takes out of them.

    pip install aws_kinesis_agg==1.2.3
    python3 extractor/tests/kinesis_support/aggregates.py > testdata/aggregates/cases.json

The cases are fixed, so that another run writes the same bytes.
"""

import base64
import json
import sys

from aws_kinesis_agg import aggregator, deaggregator

CASES = {
    "one": [("key", b"payload", None)],
    "shared-and-own-keys": [
        ("a", b"1", None),
        ("b", b"2", None),
        ("a", b"3", None),
        ("c", b"4", None),
    ],
    "explicit-hash-keys": [
        ("a", b"1", "0"),
        ("a", b"2", None),
        ("b", b"3", "340282366920938463463374607431768211455"),
        ("c", b"4", "170141183460469231731687303715884105728"),
        ("b", b"5", "0"),
    ],
    "empty-payloads": [("a", b"", None), ("b", b"x", None), ("a", b"", None)],
    "unicode-keys": [
        ("\u00e9" * 128, b"1", None),
        ("\U0001f600 \"quoted\\\" \n", b"2", None),
        ("\u0000", b"3", None),
    ],
    "every-byte": [("bytes", bytes(range(256)), None), ("more", bytes(300), None)],
    "three-hundred": [
        ("key-%d" % (n % 7), b"%d" % n, str(n) if n % 5 == 0 else None) for n in range(300)
    ],
    "aggregate-inside": [("outer", b"\xf3\x89\x9a\xc2 looks like one", None), ("b", b"2", None)],
}


def text(data):
    return base64.b64encode(data).decode()


def case(name, records):
    whole = aggregator.RecordAggregator()
    for key, data, hash_key in records:
        assert whole.add_user_record(key, data, hash_key) is None, name
    key, hash_key, data = whole.clear_and_get().get_contents()
    kinesis = {
        "kinesisSchemaVersion": "1.0",
        "approximateArrivalTimestamp": 1775700271.554,
        "sequenceNumber": "1",
        "partitionKey": key,
        "data": text(data),
    }
    taken = list(deaggregator.iter_deaggregate_records([{"kinesis": kinesis}]))
    assert len(taken) == len(records), name
    out = []
    for number, (one, (key_in, data_in, hash_in)) in enumerate(zip(taken, records)):
        one = one["kinesis"]
        assert one["subSequenceNumber"] == number, name
        assert base64.b64decode(one["data"]) == data_in and one["partitionKey"] == key_in, name
        # For a record without one, the package gives the first of the table.
        assert hash_in is None or one["explicitHashKey"] == hash_in, name
        out.append([key_in, hash_in, text(data_in)])
    return {"name": name, "data": text(data), "partitionKey": key, "records": out}


def main():
    lines = [json.dumps(case(name, records)) for name, records in CASES.items()]
    sys.stdout.write("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
