//! Proofs of a password, made by the formulas of the documentation with Python's `hashlib`; that real clients
//! make the same ones is tested with them.

use super::{NATIVE, Password, SHA2, salt};

const SALT: [u8; 20] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20];
const PROOF_NATIVE: &str = "3207253dc294cd6fd3d82b8957548d30ecdb89fd";
const PROOF_SHA2: &str = "0e58e999373f5e23fa6cb2f963d7a44d7e8f928d52b3b975225315ca8c526867";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        hex.chars().map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn a_proof_of_the_password_is_taken_and_no_other() {
    let (native, sha2) = (bytes(PROOF_NATIVE), bytes(PROOF_SHA2));
    let password = Password::new("geheim ☂");
    assert!(password.is_proved(NATIVE, &SALT, &native) && password.is_proved(SHA2, &SALT, &sha2));
    let other = Password::new("geheim");
    assert!(!other.is_proved(NATIVE, &SALT, &native) && !other.is_proved(SHA2, &SALT, &sha2));
    let mut salt = SALT;
    salt[19] = 1;
    assert!(!password.is_proved(NATIVE, &salt, &native) && !password.is_proved(SHA2, &salt, &sha2));
    assert!(!password.is_proved(NATIVE, &SALT, &sha2) && !password.is_proved(SHA2, &SALT, &native));
    for proof in [&b""[..], b"geheim", &native[1..]] {
        assert!(!password.is_proved(NATIVE, &SALT, proof));
        assert!(!password.is_proved("mysql_clear_password", &SALT, proof));
    }
}

#[test]
fn salts_differ_and_hold_no_zero() {
    let (one, other) = (salt().unwrap(), salt().unwrap());
    assert_ne!(one, other);
    assert!(one.iter().all(|byte| (1..128).contains(byte)), "{one:?}");
}
