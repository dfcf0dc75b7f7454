//! The signature against the example that AWS publishes; the token's form against that of AWS's
//! own signers. Not run against AWS.

use std::time::UNIX_EPOCH;

use serde_json::{Map, json};

use super::*;

fn keys(session: Option<&str>) -> Msk {
    Msk {
        region: "us-east-1".to_owned(),
        id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
        session: session.map(str::to_owned),
    }
}

/// "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)", Amazon S3 API.
#[test]
fn the_published_example_gives_the_published_signature() {
    let presign = Presign {
        host: "examplebucket.s3.amazonaws.com",
        path: "/test.txt",
        region: "us-east-1",
        service: "s3",
        body: "UNSIGNED-PAYLOAD",
        life: Duration::from_secs(86_400),
    };
    let at = UNIX_EPOCH + Duration::from_secs(1_369_353_600);
    assert_eq!(
        presign.url(&keys(None), &[], at),
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
         &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    );
}

#[test]
fn a_token_has_the_form_that_brokers_expect() {
    let now = UNIX_EPOCH + Duration::from_secs(1_709_210_096);
    let token = keys(Some("a/b+c=")).token(now);
    assert_eq!(token.expires_ms, (1_709_210_096 + 900) * 1000);
    assert!(!token.value.contains(['=', '+', '/']));
    let url = String::from_utf8(URL_SAFE_NO_PAD.decode(&token.value).unwrap()).unwrap();
    let (start, query) = url.split_once('?').unwrap();
    assert_eq!(start, "https://kafka.us-east-1.amazonaws.com/");
    let pairs: Vec<_> = query.split('&').map(|pair| pair.split_once('=').unwrap()).collect();
    let names: Vec<_> = pairs.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "Action",
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-Date",
            "X-Amz-Expires",
            "X-Amz-Security-Token",
            "X-Amz-SignedHeaders",
            "X-Amz-Signature",
            "User-Agent"
        ]
    );
    let value = |name| pairs.iter().find(|(it, _)| *it == name).unwrap().1;
    assert_eq!(value("Action"), "kafka-cluster%3AConnect");
    assert_eq!(
        value("X-Amz-Credential"),
        "AKIAIOSFODNN7EXAMPLE%2F20240229%2Fus-east-1%2Fkafka-cluster%2Faws4_request"
    );
    assert_eq!(value("X-Amz-Date"), "20240229T123456Z");
    assert_eq!(value("X-Amz-Expires"), "900");
    assert_eq!(value("X-Amz-Security-Token"), "a%2Fb%2Bc%3D");
    assert_eq!(value("X-Amz-Signature").len(), 64);
    assert!(!url.contains("wJalr"), "the secret is in the token");
}

#[test]
fn dates_are_those_of_the_calendar() {
    for (seconds, expected) in [
        (0, ("19700101", "000000")),
        (951_782_399, ("20000228", "235959")),
        (951_782_400, ("20000229", "000000")),
        (1_704_067_199, ("20231231", "235959")),
        (4_107_542_400, ("21000301", "000000")),
    ] {
        let (day, time) = date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!((day.as_str(), time.as_str()), expected);
    }
}

#[test]
fn settings_are_asked_for() {
    let mut config = json!({"aws.region": "eu-west-1", "aws.access.key.id": "AK"});
    let read = |config: &serde_json::Value| {
        let config = config.as_object().unwrap();
        Msk::read(&Settings::from_maps(config, &Map::new()).unwrap()).map(|_| ())
    };
    let failure = read(&config).unwrap_err();
    assert_eq!(
        failure.message,
        "aws.secret.access.key is missing: the secret of aws.access.key.id"
    );
    config["aws.secret.access.key"] = "s".into();
    read(&config).unwrap();
    config["aws.region"] = "x/y".into();
    assert!(read(&config).unwrap_err().message.contains("no region"));
}
