//! Checks what counts as code.

use super::*;

#[test]
fn comments_and_quotes_are_blanked_and_lines_stay() {
    let check = |text: &str, expected: &str| {
        let squeezed: Vec<String> = code_only(text)
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(squeezed.join("\n"), expected, "{text}");
    };
    check("a // b\nc", "a\nc");
    check("a /* b /* c */ d\n */ e", "a\ne");
    check(r#"f("x\"y", g)"#, "f( , g)");
    check("f(r#\"a\"b\"#, c)", "f( , c)");
    check("f(br\"a\\\", c)", "f(b , c)");
    check("let r#type = 'x';", "let r#type = ;");
    check("fn f<'a>(x: &'a str, y: char) { y == '\\'' }", "fn f<'a>(x: &'a str, y: char) { y == }");
    check("'\"' \"never closed", "");
}

#[test]
fn inline_tests_are_cut_off() {
    assert_eq!(production("a\n#[cfg(test)]\nmod tests {\nb\n}"), "a\n#[cfg(test)]\n");
    assert_eq!(production("a\n#[cfg(test)]\nmod tests;\nb"), "a\n#[cfg(test)]\nmod tests;\nb");
}

#[test]
fn words_are_whole() {
    assert!(has_word("use nix::poll", "nix"));
    assert!(!has_word("use unix::poll", "nix"));
    assert!(!has_word("let nix_like = 1", "nix"));
}
