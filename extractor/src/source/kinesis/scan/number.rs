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

/// Digits at the start of `text`; most are many, so that eight are looked at as one number.
pub(super) fn digits(text: &[u8]) -> usize {
    const fn all(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }
    let is_whole = |word: &&[u8; 8]| {
        let word = u64::from_le_bytes(**word);
        let high = all(0xf0);
        // 0x30 to 0x3f, and still that with six more. No carry leaves a byte that passed the first.
        word & high == all(0x30) && word.wrapping_add(all(6)) & high == all(0x30)
    };
    let (words, _) = text.as_chunks();
    let run = words.iter().take_while(is_whole).count() * 8;
    let rest = text.get(run..).unwrap_or_default();
    run + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Milliseconds and length of the number at the start of `text`, where it is seconds with three decimals
/// (`1775700271.554`, `1.775700271554E9`); `None` where it is written otherwise.
pub(super) fn quick_millis(text: &[u8]) -> Option<(i64, usize)> {
    let whole = digits(text);
    let leading_zero = text.first() == Some(&b'0') && whole > 1;
    if whole == 0 || leading_zero || text.get(whole) != Some(&b'.') {
        return None;
    }
    let decimals = text.get(whole + 1..)?;
    let fraction = digits(decimals);
    if fraction == 0 || whole + fraction > SHORT_DIGITS_MAX {
        return None;
    }
    let mut len = whole + 1 + fraction;
    let mut exponent = 0;
    if let Some(b'e' | b'E') = text.get(len) {
        let digit = text.get(len + 1).filter(|digit| digit.is_ascii_digit())?;
        exponent = usize::from(digit & 0xf);
        len += 2;
    }
    let more = matches!(text.get(len), Some(b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if more || exponent + 3 != fraction {
        return None;
    }
    let digits = text.get(..whole)?.iter().chain(decimals.get(..fraction)?);
    Some((digits.fold(0_i64, |number, digit| number * 10 + i64::from(digit & 0xf)), len))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_reading_of_times_is_the_exact_one() {
        let mut taken = 0;
        for text in [
            "1.775700271554E9",
            "1775700271.554",
            "1.5e-3",
            "0.001",
            "1.7757002715E9",
            "12.3450E1",
            "1.0",
            "01.500",
            "1.500E",
            "1.5E10",
            "1.775700271554E9.",
            "1.2345E1",
            "1.234",
            "-1.234",
            "1234",
            "123456789012345.678",
            "1234567890123456.789",
            "1.234e0",
            "1.234E+0",
            "",
            ".5",
            "1.",
        ] {
            for tail in ["", ",", "}", "x", "1", "E1", "."] {
                let text = format!("{text}{tail}");
                let Some((ms, end)) = quick_millis(text.as_bytes()) else { continue };
                assert_eq!(Some(end), len(text.as_bytes()), "{text}");
                assert_eq!(Some(ms), millis(&text.as_bytes()[..end]), "{text}");
                taken += 1;
            }
        }
        assert!(taken > 20, "{taken}");
        assert_eq!(quick_millis(b"1.775700271554E9,"), Some((1_775_700_271_554, 16)));
        assert_eq!(quick_millis(b"1775700271.554}"), Some((1_775_700_271_554, 14)));
    }

    #[test]
    fn digits_end_at_the_first_other_byte_wherever_it_is() {
        for byte in 0..=255_u8 {
            for at in 0..20 {
                let mut text = [b'7'; 20];
                text[at] = byte;
                let wanted = if byte.is_ascii_digit() { 20 } else { at };
                assert_eq!(digits(&text), wanted, "{byte} at {at}");
            }
        }
    }
}
