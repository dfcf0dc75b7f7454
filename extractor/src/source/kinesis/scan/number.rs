//! Numbers of JSON as exact decimals. Pure.

/// Digits and signs of a number that is read. Why 64: the longest that mean something are doubles
/// written out.
const BYTES_MAX: usize = 64;

/// Digits that are counted with. Why 30: with the powers of ten below they fit 128 bits.
const DIGITS_MAX: u32 = 30;

/// Digits that fit 64 bits with a sign, whatever they are.
const SHORT_DIGITS_MAX: usize = 18;

/// Bytes of the number at the start of `text`, by the grammar of RFC 8259 section 6.
pub(super) fn len(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    };
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    let leading_zero = text.get(at) == Some(&b'0');
    if whole == 0 || (leading_zero && whole > 1) {
        return None;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        if exponent == 0 {
            return None;
        }
        at += 1 + sign + exponent;
    }
    Some(at)
}

/// A number without fraction and exponent.
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Seconds as milliseconds, exactly; what is finer is rounded, halves up.
pub(super) fn millis(text: &[u8]) -> Option<i64> {
    if text.len() > BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let (negative, whole) = match whole.strip_prefix('-') {
        Some(whole) => (true, whole),
        None => (false, whole),
    };
    let shift = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?.checked_add(3)?;
    if shift == 0 && whole.len() + fraction.len() <= SHORT_DIGITS_MAX {
        // What the service sends: seconds with three decimals, in either notation.
        let digits = whole.bytes().chain(fraction.bytes());
        let number = digits.fold(0_i64, |number, digit| number * 10 + i64::from(digit & 0xf));
        return Some(if negative { -number } else { number });
    }
    let (mut number, mut count) = (0_i128, 0);
    for digit in whole.bytes().chain(fraction.bytes()) {
        number = number * 10 + i128::from(digit & 0xf);
        count += u32::from(number != 0);
        if count > DIGITS_MAX {
            return None;
        }
    }
    let number = if negative { -number } else { number };
    let ms = match u32::try_from(shift) {
        _ if number == 0 => 0,
        Ok(up) => number.checked_mul(10_i128.checked_pow(up)?)?,
        Err(_) => match 10_i128.checked_pow(shift.unsigned_abs()) {
            Some(down) => {
                number.checked_mul(2)?.checked_add(down)?.div_euclid(down.checked_mul(2)?)
            }
            // Far below half a millisecond.
            None => 0,
        },
    };
    i64::try_from(ms).ok()
}
