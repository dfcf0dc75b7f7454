//! Exit codes agree with the protocol's table and are all different.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_class_has_the_code_of_the_specification() {
    for class in Class::ALL {
        let code = Exit::from(*class).code();
        if *class == Class::Cancelled {
            assert_eq!(code, 130, "a run that was cancelled is not a success");
        } else {
            assert_eq!(code, class.exit_code(), "{}", class.name());
        }
    }
}

#[test]
fn codes_are_distinct_and_listed() {
    let codes: BTreeSet<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
    assert_eq!(codes.len(), Exit::ALL.len());
    let table = Exit::table();
    for code in codes {
        assert!(table.lines().any(|line| line.trim_start().starts_with(&format!("{code} "))));
    }
}

#[test]
fn a_fenced_run_and_an_interrupted_one_have_their_own_codes() {
    assert_eq!(Exit::from(&RunError::Fenced("x".to_owned())).code(), 79);
    assert_eq!(Exit::from(&RunError::Interrupted).code(), 130);
    let lost = StoreError::new(StoreErrorKind::Fenced, "x");
    assert_eq!(Exit::from(&RunError::Store(lost)).code(), 79);
}

#[test]
fn the_readme_has_the_same_table() {
    let readme = include_str!("../../../README.md");
    let row = |exit: &Exit| format!("| {} | {} |", exit.code(), exit.meaning());
    for exit in Exit::ALL {
        assert!(readme.contains(&row(exit)), "{}", row(exit));
    }
}
