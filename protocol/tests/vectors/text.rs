//! The text form of vectors: `key: value` lines, then bytes as hexadecimal digits; `#` begins a
//! comment anywhere.

/// A parsed file.
#[derive(Debug, Default)]
pub(crate) struct Vector {
    /// `key: value` lines in order.
    pub(crate) keys: Vec<(String, String)>,
    /// All bytes.
    pub(crate) bytes: Vec<u8>,
}

impl Vector {
    /// Reads a file. A line of keys may contain `#`.
    pub(crate) fn read(text: &[u8]) -> Self {
        let mut vector = Self::default();
        for line in std::str::from_utf8(text).unwrap().lines() {
            let is_key = |key: &str| key.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            match line.split_once(": ") {
                Some((key, value)) if !key.is_empty() && is_key(key) => {
                    vector.keys.push((key.to_owned(), value.to_owned()));
                }
                _ => vector.bytes.extend(unhex(line.split('#').next().unwrap())),
            }
        }
        vector
    }

    /// Values of a key.
    pub(crate) fn all(&self, key: &str) -> Vec<&str> {
        self.keys.iter().filter(|(name, _)| name == key).map(|(_, value)| &**value).collect()
    }

    /// The value of a key that occurs at most once.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let all = self.all(key);
        assert!(all.len() < 2, "{key} occurs twice");
        all.first().copied()
    }
}

/// Bytes of hexadecimal digits; white space does not count.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| nibble(c).unwrap()).collect();
    assert_eq!(digits.len() % 2, 0, "half a byte in {text:?}");
    digits.chunks(2).map(|pair| (pair[0] << 4) | pair[1]).collect()
}

fn nibble(digit: char) -> Option<u8> {
    digit.to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Lower-case hexadecimal digits without spaces.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A line of spaced digits with a comment.
pub(crate) fn line(bytes: &[u8], comment: &str) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let line = format!("{:<48}# {comment}", digits.join(" "));
    line.trim_end().to_owned() + "\n"
}

/// Bytes sixteen to a line, with what is readable of them as comment.
pub(crate) fn dump(bytes: &[u8]) -> String {
    let readable = |byte: &u8| match byte {
        0x20..=0x7e => char::from(*byte),
        _ => '.',
    };
    let lines =
        bytes.chunks(16).map(|row| line(row, &row.iter().map(readable).collect::<String>()));
    lines.collect()
}
