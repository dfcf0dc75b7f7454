//! Tests of the command line.

use super::*;

fn parse_words(line: &str) -> Result<Call, String> {
    parse(line.split_whitespace().map(OsString::from))
}

#[test]
fn arguments_are_read() {
    let serve = |log_level, dumpable| Ok(Call::Serve(Options { log_level, dumpable }));
    let check = |line: &str, expected: Result<Call, String>| {
        assert_eq!(parse_words(line), expected, "{line}");
    };
    check("", serve(Level::INFO, Dumpable::No));
    check("--pipeline p --task 3", serve(Level::INFO, Dumpable::No));
    check("--log-level debug --dumpable", serve(Level::DEBUG, Dumpable::Yes));
    check("--version", Ok(Call::Version));
    check("-h", Ok(Call::Help));
}

#[test]
fn wrong_arguments_are_named() {
    for (line, named) in [
        ("--config x", "--config"),
        ("topic", "topic"),
        ("--log-level loud", "loud"),
        ("--task", "--task"),
    ] {
        let text = parse_words(line).unwrap_err();
        assert!(text.contains(named), "{line}: {text}");
    }
}

#[test]
fn help_names_every_exit_code() {
    for class in protocol::Class::ALL {
        assert!(HELP.contains(&format!("{} ", class.exit_code())), "{class:?}");
    }
}
