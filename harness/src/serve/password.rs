//! The password of `harness serve`: what clients prove that they know, without sending it.
//!
//! Pure but for the system's random numbers. Invariant: the password itself is not kept, only digests that
//! proofs are checked against; a comparison takes the same time whatever differs.
//!
//! Source: "Native Authentication" and "Caching SHA-2" in MySQL's protocol documentation.

use std::fs::File;
use std::io::{self, Read};

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// The method of MySQL 8 and newer.
pub(super) const SHA2: &str = "caching_sha2_password";
/// The method that every client knows.
pub(super) const NATIVE: &str = "mysql_native_password";

/// Random bytes of a greeting.
pub(super) type Salt = [u8; 20];

/// A new salt, without zeros, which would end it.
///
/// # Errors
/// The system gives no random numbers.
pub(super) fn salt() -> io::Result<Salt> {
    let mut salt = [0; 20];
    File::open("/dev/urandom")?.read_exact(&mut salt)?;
    // 1 to 127: old clients take it for text.
    Ok(salt.map(|byte| byte % 127 + 1))
}

/// What proofs of knowledge are checked against.
#[derive(Clone)]
pub(crate) struct Password {
    native: [u8; 20],
    sha2: [u8; 32],
}

impl Password {
    /// Of the password.
    pub(crate) fn new(text: &str) -> Self {
        Self {
            native: Sha1::digest(Sha1::digest(text)).into(),
            sha2: Sha256::digest(Sha256::digest(text)).into(),
        }
    }

    /// Whether a client has proved by this method that it knows the password.
    pub(super) fn is_proved(&self, method: &str, salt: &Salt, proof: &[u8]) -> bool {
        match method {
            // SHA1(password) XOR SHA1(salt, SHA1(SHA1(password)))
            NATIVE => {
                let mask = Sha1::new().chain_update(salt).chain_update(self.native).finalize();
                unmasked(proof, &mask)
                    .is_some_and(|stage| is_equal(&Sha1::digest(stage), &self.native))
            }
            // SHA256(password) XOR SHA256(SHA256(SHA256(password)), salt)
            SHA2 => {
                let mask = Sha256::new().chain_update(self.sha2).chain_update(salt).finalize();
                unmasked(proof, &mask)
                    .is_some_and(|stage| is_equal(&Sha256::digest(stage), &self.sha2))
            }
            _ => false,
        }
    }
}

fn unmasked(proof: &[u8], mask: &[u8]) -> Option<Vec<u8>> {
    (proof.len() == mask.len()).then(|| proof.iter().zip(mask).map(|(a, b)| a ^ b).collect())
}

fn is_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests;
