//! `harness serve`: options to a server, and the end of it by signals.
//!
//! May touch: the environment variable and the file of the password. Invariant: another address than loopback
//! needs a password.

use std::net::{SocketAddr, ToSocketAddrs as _};

use super::args::ServeArgs;
use super::error::CliError;
use super::{options, signals};
use crate::exit::Exit;
use crate::report::{Report, Style, Verbosity};
use crate::run::Control;
use crate::serve::{self, Options, Password};

/// The environment variable with the password that clients need.
const PASSWORD_VARIABLE: &str = "S2X_SERVE_PASSWORD";

pub(super) fn serve(args: &ServeArgs) -> Result<Exit, CliError> {
    let listen = address(&args.listen)?;
    let password = password(args)?;
    if password.is_none() && !listen.ip().is_loopback() {
        return Err(CliError::Usage {
            message: format!(
                "{listen} is reached from other machines: clients need a password there"
            ),
            hint: Some(format!(
                "give --password-file or set {PASSWORD_VARIABLE}, or listen on 127.0.0.1"
            )),
        });
    }
    let store = args.store.required()?;
    let control = Control::default();
    let report = Report::start("serve", None, Style::Quiet, Verbosity::Warnings, &control);
    signals::watch(&control, &report)?;
    let options = Options {
        store,
        listen,
        password,
        extractor: args.extractor.clone(),
        allow_host_access: args.allow_host_access,
    };
    serve::serve(options, &control)?;
    Ok(if control.is_now() { Exit::Interrupted } else { Exit::Done })
}

fn address(text: &str) -> Result<SocketAddr, CliError> {
    let found = text.to_socket_addrs().ok().and_then(|mut all| all.next());
    found.ok_or_else(|| CliError::Usage {
        message: format!("--listen {text}: no such address"),
        hint: Some("write ADDRESS:PORT, for example 127.0.0.1:3307 or [::1]:3307".to_owned()),
    })
}

fn password(args: &ServeArgs) -> Result<Option<Password>, CliError> {
    if let Some(path) = &args.password_file {
        return Ok(Some(Password::new(options::read_password(path)?.expose())));
    }
    let set = std::env::var_os(PASSWORD_VARIABLE).filter(|text| !text.is_empty());
    let Some(text) = set else { return Ok(None) };
    let text = text.to_str().ok_or_else(|| {
        CliError::other(Exit::Config, format!("{PASSWORD_VARIABLE} is not UTF-8"))
    })?;
    Ok(Some(Password::new(text)))
}
