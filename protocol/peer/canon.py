"""Strict JSON (SPEC.md section 3) and its canonical form (section 6.1)."""

import json
import math

from .limits import (JSON_DEPTH_MAX, OFFSET_INTEGER_MAX, OFFSET_KEY_BYTES_MAX,
                     OFFSET_VALUE_BYTES_MAX)


class Refused(Exception):
    """A text that is no strict JSON, or has no canonical form."""


class Rough(float):
    """A number with a fraction, an exponent, or a minus before zero: it has no canonical form."""


def _pairs(pairs):
    found = {}
    for key, value in pairs:
        if key in found:
            raise Refused("duplicate key")
        found[key] = value
    return found


def _real(text):
    value = Rough(text)
    if math.isinf(value):
        raise Refused("number out of range")
    return value


def _integer(text):
    return Rough(text) if text == "-0" else (int(text) if len(text) <= 20 else _real(text))


def _constant(_text):
    raise Refused("no JSON number")


def _check(value, depth):
    if isinstance(value, str):
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise Refused("lone surrogate")
    elif isinstance(value, (dict, list)):
        if depth == 0:
            raise Refused("too deep")
        if isinstance(value, dict):
            for key in value:
                _check(key, depth - 1)
            value = value.values()
        for item in value:
            _check(item, depth - 1)


def parse(data):
    """One strict JSON value out of bytes."""
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_pairs, parse_float=_real,
                           parse_int=_integer, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise Refused(f"not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise Refused("too deep") from None
    except ValueError as error:
        raise Refused(f"no JSON: {error}") from None
    _check(value, JSON_DEPTH_MAX)
    return value


_ESCAPES = {code: f"\\u{code:04x}" for code in range(32)}
_ESCAPES.update({ord(char): "\\" + short for char, short in zip('"\\\b\f\n\r\t', '"\\bfnrt')})


def quote(text):
    """A string with the escapes of the canonical form."""
    return '"' + text.translate(_ESCAPES) + '"'


def canonical(value):
    """The canonical text of a value."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, int):
        if abs(value) > OFFSET_INTEGER_MAX:
            raise Refused("integer out of range")
        return str(value)
    if isinstance(value, float):
        raise Refused("no integer")
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return "{" + ",".join(f"{quote(key)}:{canonical(value[key])}" for key in sorted(value)) + "}"


def offset(value, limit):
    """The canonical text of a KEY or VALUE."""
    if not isinstance(value, dict) or not value:
        raise Refused("no object with a key")
    text = canonical(value)
    if len(text.encode("utf-8")) > limit:
        raise Refused("too long")
    return text


def key(value):
    """The canonical text of a KEY."""
    return offset(value, OFFSET_KEY_BYTES_MAX)


def place(value):
    """The canonical text of a VALUE."""
    return offset(value, OFFSET_VALUE_BYTES_MAX)


def dumps(value):
    """JSON for a payload."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
