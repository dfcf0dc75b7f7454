//! `harness man`: one manual page of the program and all its commands.
//!
//! May touch: stdout. Invariant: it is made of what `--help` is made of, so that the two say the same.

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::args::Arguments;
use super::error::CliError;
use crate::exit::Exit;
use crate::report::out;

pub(super) fn man() -> Result<Exit, CliError> {
    let mut page = Vec::new();
    write_page(&mut page)?;
    out::line(String::from_utf8_lossy(&page).trim_end())?;
    Ok(Exit::Done)
}

fn write_page(to: &mut dyn Write) -> io::Result<()> {
    let mut program = Arguments::command();
    program.build();
    let man = Man::new(program.clone());
    man.render_title(to)?;
    man.render_name_section(to)?;
    man.render_synopsis_section(to)?;
    man.render_description_section(to)?;
    for command in program.get_subcommands().filter(|it| it.get_name() != "help") {
        write_command(command, to)?;
    }
    let mut notes = Vec::new();
    man.render_extra_section(&mut notes)?;
    write_as(".SH", &notes, to)?;
    man.render_version_section(to)
}

/// A command under a heading of its own; the sections of its own page become paragraphs.
fn write_command(command: &Command, to: &mut dyn Write) -> io::Result<()> {
    let mut text = Vec::new();
    let man = Man::new(command.clone());
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    man.render_extra_section(&mut text)?;
    writeln!(to, ".SH \"HARNESS {}\"", command.get_name().to_uppercase())?;
    write_as(".SS", &text, to)
}

/// The sections of a page under headings of this kind. What follows the options has lines of its own, as
/// examples do, and keeps them.
fn write_as(heading: &str, page: &[u8], to: &mut dyn Write) -> io::Result<()> {
    for line in String::from_utf8_lossy(page).lines() {
        match line.strip_prefix(".SH ") {
            Some("EXTRA") => writeln!(to, "{heading} NOTES\n.nf")?,
            Some(name) => writeln!(to, "{heading} {name}")?,
            None => writeln!(to, "{line}")?,
        }
    }
    // Harmless where lines are filled.
    writeln!(to, ".fi")
}
