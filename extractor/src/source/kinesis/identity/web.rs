//! A role's credentials for a token that its account trusts (web identity, as Kubernetes gives
//! it). The token's file is read for each answer, because it is replaced while the reader runs.

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};
use aws_sdk_sts::Client;

use super::super::settings::Role;

/// Bytes of a token's file. Why 64 KiB: tokens with many claims reach 10 KB.
pub(super) const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// See the file.
#[derive(Debug)]
pub(super) struct WebIdentity {
    client: Client,
    role: Role,
    token_file: String,
}

impl WebIdentity {
    /// Asks nothing yet.
    pub(super) fn new(config: &SdkConfig, role: &Role, token_file: &str) -> Self {
        let (role, token_file) = (role.clone(), token_file.to_owned());
        Self { client: Client::new(config), role, token_file }
    }

    async fn credentials(&self) -> Result {
        let file = self.token_file.clone();
        // The file may lie on a disk that hangs, which would hold up all that this thread reads.
        let text = tokio::task::spawn_blocking(move || file_text(&file)).await;
        let text = text.map_err(CredentialsError::unhandled)?;
        let token = text.map_err(CredentialsError::invalid_configuration)?;
        let seconds = i32::try_from(self.role.session.as_secs()).unwrap_or(i32::MAX);
        let call = self.client.assume_role_with_web_identity();
        let answer = call
            .role_arn(&self.role.arn)
            .role_session_name(&self.role.session_name)
            .duration_seconds(seconds)
            .web_identity_token(token)
            .send()
            .await
            .map_err(CredentialsError::provider_error)?;
        let keys = answer.credentials.ok_or_else(|| {
            CredentialsError::provider_error("the answer of STS holds no credentials")
        })?;
        let until = std::time::SystemTime::try_from(keys.expiration)
            .map_err(CredentialsError::provider_error)?;
        let (id, secret) = (keys.access_key_id, keys.secret_access_key);
        Ok(Credentials::new(id, secret, Some(keys.session_token), Some(until), "web identity"))
    }
}

impl ProvideCredentials for WebIdentity {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

/// A token's file without the white space around it. Its text is in no error.
pub(super) fn file_text(path: &str) -> std::result::Result<String, String> {
    use std::io::Read;
    let failed = |error: std::io::Error| format!("cannot read {path}: {error}");
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(TOKEN_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    match text.trim() {
        "" => Err(format!("{path} is empty; it should hold a token")),
        _ if text.len() as u64 > TOKEN_BYTES_MAX => {
            Err(format!("{path} has more than {TOKEN_BYTES_MAX} bytes; it should hold a token"))
        }
        token => Ok(token.to_owned()),
    }
}
