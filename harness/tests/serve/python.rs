//! Readers of what we write that are others' work, in Python.

use std::process::Command;

/// A Python that has the module: Debian's own, where another one comes first on the PATH.
pub(crate) fn python_with(module: &str) -> Option<&'static str> {
    let import = format!("import {module}");
    let has = |python: &&str| {
        let output = Command::new(python).args(["-c", &import]).output();
        output.is_ok_and(|output| output.status.success())
    };
    ["python3", "/usr/bin/python3"].into_iter().find(has)
}
