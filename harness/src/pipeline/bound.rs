//! Files of secrets that belong to one definition of a pipeline: a line in the file says to which.
//!
//! Touches nothing. Invariant: a file that is bound is read by nothing but what it is bound to, and a
//! definition reads its own file only where that is bound to it, so that who may change a definition in the
//! catalogue, and not the file, cannot choose where its secrets are sent.

/// How the line begins.
const KEY: &str = "s2x.bound=";

/// Digits of a digest.
const DIGEST_LEN: usize = 64;

/// The file of secrets of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnSecrets {
    /// Its path, as references name it.
    pub file: String,
    /// What it must be bound to: 64 hexadecimal digits.
    pub binding: String,
}

/// The line that binds a file. It begins a line wherever it is put, and two of them say the last.
pub(crate) fn line(binding: &str) -> String {
    format!("\n{KEY}{binding}\n")
}

/// What the text of a file is bound to. A line that was cut by a crash binds nothing.
pub(crate) fn bound_to(text: &str) -> Option<&str> {
    let is_whole = |it: &&str| it.len() == DIGEST_LEN && it.bytes().all(|b| b.is_ascii_hexdigit());
    text.lines().filter_map(|line| line.strip_prefix(KEY)).rfind(is_whole)
}

/// Refuses the text of a file that is not for `own`.
///
/// # Errors
/// Why, without a word of what is in it.
pub(super) fn require_own(path: &str, text: &str, own: Option<&OwnSecrets>) -> Result<(), String> {
    let own = own.filter(|own| own.file == path);
    match (bound_to(text), own) {
        (None, None) => Ok(()),
        (Some(bound), Some(own)) if bound == own.binding => Ok(()),
        (Some(_), Some(_)) => Err(
            "the secrets in it were stored for another definition: somebody changed this one in the \
             catalogue, and not by ALTER PIPELINE, so that they might be sent elsewhere; look at SHOW CREATE \
             PIPELINE, then give CONFIG and CREDENTIALS anew by ALTER PIPELINE or CREATE OR REPLACE PIPELINE"
                .to_owned(),
        ),
        (Some(_), None) => Err(
            "it holds the secrets of one pipeline, and nothing else may read it; write the secret itself, \
             or put it into another file"
                .to_owned(),
        ),
        (None, Some(_)) => Err(
            "an older program wrote it, without saying for which definition; harness sql on this machine, or \
             a new start of harness serve, adds that where this user may write the file"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    //! Whose a file is.

    use super::*;

    #[test]
    fn a_file_is_for_what_it_is_bound_to() {
        let (a, b) = ("a".repeat(DIGEST_LEN), "b".repeat(DIGEST_LEN));
        let own = |binding: &str| OwnSecrets { file: "/f".to_owned(), binding: binding.to_owned() };
        let check = |path: &str, text: &str, own: Option<&OwnSecrets>| {
            require_own(path, text, own)
                .map_err(|why| why.split(' ').take(3).collect::<Vec<_>>().join(" "))
        };
        let of_a = format!("1=x\n{}", line(&a));
        let says = |why: &str| Err(why.to_owned());
        assert_eq!(check("/f", &of_a, Some(&own(&a))), Ok(()));
        assert_eq!(check("/f", &of_a, Some(&own(&b))), says("the secrets in"));
        assert_eq!(check("/f", &of_a, None), says("it holds the"));
        // Under another name it is not its own.
        assert_eq!(check("/./f", &of_a, Some(&own(&a))), says("it holds the"));
        for unbound in ["1=x\n", "1=x\n\ns2x.bound=ab", "1=s2x.bound=\n"] {
            assert_eq!(check("/f", unbound, Some(&own(&a))), says("an older program"), "{unbound}");
            assert_eq!(check("/f", unbound, None), Ok(()));
        }
        // A line that was cut is followed by a whole one.
        let again = format!("1=x\n\ns2x.bound=ab{}", line(&b));
        assert_eq!(check("/f", &again, Some(&own(&b))), Ok(()));
    }
}
