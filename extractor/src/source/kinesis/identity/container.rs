//! Credentials of a container: one GET of an address that its platform gives (ECS, EKS), with a
//! token where the platform wants one. The SDK has this only for an address in the environment,
//! which a host does not pass on.
//!
//! Nothing of an answer is shown but its status, and of the address scheme and host only: its path
//! may be all that it takes to be given the credentials.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};
use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};
use serde::Deserialize;
use ureq::Agent;

use super::web::file_text;

/// Bytes of an answer. Why 64 KiB: it is a small object, and session tokens reach a few KB.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// See the file.
#[derive(Clone, Debug)]
pub(super) struct Container {
    agent: Agent,
    url: Address,
    token_file: Option<String>,
}

/// An address whose path is shown nowhere.
#[derive(Clone)]
struct Address(String);

impl Address {
    /// Scheme and host.
    fn shown(&self) -> String {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("http", &self.0));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        format!("{scheme}://{host}")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

impl Container {
    /// Asks nothing yet.
    pub(super) fn new(url: &str, token_file: Option<&str>, within: Duration) -> Self {
        let config = Agent::config_builder()
            .timeout_global(Some(within))
            .http_status_as_error(false)
            // A redirect would carry the token to another place; so would a proxy.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .build();
        let token_file = token_file.map(ToOwned::to_owned);
        Self { agent: config.new_agent(), url: Address(url.to_owned()), token_file }
    }

    fn ask(&self) -> Result {
        let url = self.url.shown();
        let failed = |error: ureq::Error| {
            // It quotes the whole address.
            let said = match error {
                ureq::Error::BadUri(_) => "not an address".to_owned(),
                error => error.to_string(),
            };
            CredentialsError::provider_error(format!("asking {url}: {said}"))
        };
        let mut call = self.agent.get(&self.url.0).header("accept", "application/json");
        if let Some(file) = &self.token_file {
            let token = file_text(file).map_err(CredentialsError::invalid_configuration)?;
            call = call.header("authorization", token);
        }
        let mut response = call.call().map_err(failed)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        let body = body.map_err(failed)?;
        if status != 200 {
            let text = format!("{url} answers {status}");
            return Err(match status {
                429 | 500.. => CredentialsError::provider_error(format!("{text}; it may pass")),
                _ => CredentialsError::invalid_configuration(text),
            });
        }
        let unreadable = || CredentialsError::provider_error(format!("{url} gives no credentials"));
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        let until = |text: &str| {
            let time = DateTime::from_str(text, DateTimeFormat::DateTimeWithOffset).ok()?;
            SystemTime::try_from(time).ok()
        };
        let until = answer.expiration.as_deref().map(|text| until(text).ok_or_else(unreadable));
        let (id, secret) = (answer.access_key_id, answer.secret_access_key);
        Ok(Credentials::new(id, secret, answer.token, until.transpose()?, "container"))
    }
}

impl ProvideCredentials for Container {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let asked = self.clone();
        let answer = tokio::task::spawn_blocking(move || asked.ask());
        future::ProvideCredentials::new(async move {
            answer.await.unwrap_or_else(|e| Err(CredentialsError::unhandled(e)))
        })
    }
}
