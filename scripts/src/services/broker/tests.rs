//! Checks the settings file that the broker is given.

use super::*;

fn service(args: &[&str]) -> Service {
    Service {
        ports: vec![20_001, 20_002],
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        process: None,
        started_at: 0,
        ready_ms: None,
    }
}

#[test]
fn every_listener_is_on_loopback() {
    let text = settings_text(Path::new("/x"), &service(&[])).unwrap();
    let listeners: Vec<&str> = text.lines().filter(|line| line.contains("://")).collect();
    assert_eq!(
        listeners,
        [
            "listeners=PLAINTEXT://127.0.0.1:20001,CONTROLLER://127.0.0.1:20002",
            "advertised.listeners=PLAINTEXT://127.0.0.1:20001"
        ]
    );
    assert!(text.contains("\nlog.dirs=/x/data\n"));
}

#[test]
fn the_users_settings_win() {
    let text = settings_text(Path::new("/x"), &service(&["num.partitions=9"])).unwrap();
    assert!(text.find("num.partitions=1\n").unwrap() < text.find("num.partitions=9\n").unwrap());
}

#[test]
fn more_listeners_stand_beside_the_two() {
    let line = "listeners=PLAINTEXT://127.0.0.1:{port},X://127.0.0.1:9,C://127.0.0.1:{controller}";
    let text = settings_text(Path::new("/x"), &service(&[line])).unwrap();
    let expected = "listeners=PLAINTEXT://127.0.0.1:20001,X://127.0.0.1:9,C://127.0.0.1:20002\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn what_kafka_would_misread_is_refused() {
    let check = |folder: &str, args: &[&str]| {
        assert!(settings_text(Path::new(folder), &service(args)).is_err(), "{folder} {args:?}");
    };
    check("/a,b", &[]);
    check("/a\\b", &[]);
    check("/x", &["num.partitions"]);
    check("/x", &["a=b\nlisteners=PLAINTEXT://0.0.0.0:1"]);
    let one_port = Service { ports: vec![1], ..service(&[]) };
    assert!(settings_text(Path::new("/x"), &one_port).is_err());
}
