//! Tokens that are given, and what they say about their end.

use serde_json::{Map, json};

use super::*;

fn jwt(claims: &Value) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

#[test]
fn the_end_is_read_from_the_token() {
    assert_eq!(expiry_of(&jwt(&json!({"exp": 1_700_000_000}))), Some(1_700_000_000_000));
    assert_eq!(expiry_of(&jwt(&json!({"exp": 1_700_000_000.5}))), Some(1_700_000_000_000));
    for other in [jwt(&json!({"sub": "x"})), "opaque".to_owned(), "a.%%.c".to_owned()] {
        assert_eq!(expiry_of(&other), None);
    }
}

#[test]
fn a_given_token_that_has_expired_is_not_sent() {
    let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let given = |exp: u64| Given::new(jwt(&json!({"exp": exp})), Vec::new());
    assert_eq!(given(1_700_000_010).token(now).map(|t| t.expires_ms).ok(), Some(1_700_000_010_000));
    let failure = given(1_699_999_990).token(now).err().unwrap();
    assert_eq!(failure.code, Code::CredentialsExpired);
    assert_eq!(
        failure.message,
        "sasl.oauthbearer.token expired 10 s ago; give the pipeline a new one"
    );
    let opaque = Given::new("opaque".to_owned(), Vec::new()).token(now).ok().unwrap();
    assert_eq!(opaque.expires_ms, 1_700_086_400_000);
}

#[test]
fn extensions_are_pairs() {
    let read = |text: &str| {
        let config = json!({"x": text});
        let settings = Settings::from_maps(config.as_object().unwrap(), &Map::new()).unwrap();
        extensions(&settings, "x")
    };
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        read("logicalCluster=lkc-1, identityPoolId=pool-2").unwrap(),
        [pair("logicalCluster", "lkc-1"), pair("identityPoolId", "pool-2")]
    );
    assert_eq!(read("").unwrap(), []);
    for bad in ["a", "=b", "a=", "auth=x", "a b=c"] {
        assert!(read(bad).is_err(), "{bad}");
    }
    assert!(read(&vec!["a=b"; EXTENSIONS_MAX + 1].join(",")).is_err());
}

#[test]
fn a_token_that_ends_on_its_way_has_expired() {
    let why = "Must supply an unexpired token: now=1700000000001ms, exp=1700000000000ms";
    assert_eq!(not_taken(why).code, Code::CredentialsExpired);
    let failure = not_taken("Invalid token: s3cr3t");
    assert!(failure.code == Code::AuthFailed && !failure.message.contains("s3cr3t"));
}
