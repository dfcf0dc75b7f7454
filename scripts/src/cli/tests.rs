//! Checks what is understood of a command line.

use super::*;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn options_may_stand_anywhere_and_take_values_that_look_like_options() {
    let line = "up --mariadb-arg --max-allowed-packet=1M mariadb --dir=/x --kafka-arg a.b=c";
    let expected = Typed {
        dir: Some(PathBuf::from("/x")),
        words: words("up mariadb"),
        extra: Extra { kafka: words("a.b=c"), mariadb: words("--max-allowed-packet=1M") },
    };
    assert_eq!(Typed::parse(&words(line)).unwrap(), expected);
}

#[test]
fn what_is_not_understood_is_named() {
    let check = |line: &str, expected: &str| {
        let error = format!("{:#}", run(&words(line)).unwrap_err());
        assert!(error.contains(expected) && !error.contains('\n'), "{line}: {error}");
    };
    check("sevices up", "sevices");
    check("check harness", "takes no `harness`");
    check("tidy --fix", "takes no `--fix`");
    check("services", "no command");
    check("services frobnicate", "frobnicate");
    check("services up oracle", "oracle");
    check("services up --fast", "--fast");
    check("services up --dir", "needs a value");
    check("services stop", "takes one name");
    check("services stop kafka mariadb", "takes one name");
    check("services down kafka", "takes no name");
    check("services stop kafka --kafka-arg a=b", "go with");
    check("services env --dir /nowhere/at/all", "services up");
    check("services stop kafka --dir /nowhere/at/all", "services up");
}

#[test]
fn shell_words_are_quoted_when_they_must_be() {
    let check = |value: &str, expected: &str| assert_eq!(quoted(value), expected);
    check("mysql://root@127.0.0.1:1/s2x", "mysql://root@127.0.0.1:1/s2x");
    check("/a b", "'/a b'");
    check("/it's", "'/it'\\''s'");
    check("", "''");
    check("$(x)", "'$(x)'");
}
