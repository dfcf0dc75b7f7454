//! Credentials of one profile of AWS files, and of nothing else: no key of the environment and no
//! metadata of the machine stands in for a profile that is not there.
//!
//! Each question reads the files again, so that a profile may be corrected while the reader runs.

use std::error::Error;
use std::ffi::OsString;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};
use aws_runtime::env_config::file::{EnvConfigFileKind as Kind, EnvConfigFiles};

/// Variables that say where the machine's own files are; one of them is needed to find any.
const PLACES: [&str; 3] = ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "HOME"];

/// See the file.
#[derive(Debug)]
pub(super) struct Profile {
    name: String,
    config: ProviderConfig,
    /// None where nothing says where they are.
    files: Option<EnvConfigFiles>,
    /// Where they are, for errors.
    place: String,
}

impl Profile {
    /// Reads nothing yet. Without `file` the profile is looked for in the machine's own files, which
    /// the variables of the AWS tools name.
    pub(super) fn new(name: &str, file: Option<&str>, config: ProviderConfig) -> Self {
        let (files, place) = match file {
            // A file may be of either kind, which differ in how they write a name.
            Some(file) => {
                let files = EnvConfigFiles::builder()
                    .with_file(Kind::Credentials, file)
                    .with_file(Kind::Config, file);
                (Some(files.build()), file.to_owned())
            }
            None => match machine_files(&|name| std::env::var_os(name)) {
                Some(place) => (Some(EnvConfigFiles::default()), place),
                None => (None, String::new()),
            },
        };
        Self { name: name.to_owned(), config, files, place }
    }

    async fn credentials(&self) -> Result {
        let Some(files) = &self.files else {
            let text = format!(
                "aws.profile `{}` without aws.profile.file: none of {} is set here, and a host may \
                 keep them from this process; set aws.profile.file",
                self.name,
                PLACES.join(", ")
            );
            return Err(CredentialsError::invalid_configuration(Unusable(text)));
        };
        let asked = ProfileFileCredentialsProvider::builder()
            .configure(&self.config)
            .profile_name(&self.name)
            .profile_files(files.clone())
            .build();
        asked.provide_credentials().await.map_err(|error| self.explain(error))
    }

    /// What concerns the files is said with their place; what a service said stays as it is.
    fn explain(&self, error: CredentialsError) -> CredentialsError {
        if !matches!(
            error,
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_)
        ) {
            return error;
        }
        let why = error.source().map_or_else(String::new, |why| format!(": {why}"));
        CredentialsError::invalid_configuration(Unusable(format!(
            "no credentials of aws.profile `{}` in {}{why}; correct aws.profile or aws.profile.file",
            self.name, self.place
        )))
    }
}

/// The settings name a profile that has no credentials: nobody refused any, so that it is an error of
/// the configuration. It is found among the sources of the SDK's error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::source::kinesis) struct Unusable(String);

impl ProvideCredentials for Profile {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

/// The machine's own files as the SDK finds them; nothing where it would look nowhere.
fn machine_files(env: &dyn Fn(&str) -> Option<OsString>) -> Option<String> {
    let [credentials, config, home] = PLACES.map(env);
    let home = home.map(|home| home.to_string_lossy().into_owned());
    let place = |named: Option<OsString>, name: &str| match (named, &home) {
        (Some(file), _) => Some(file.to_string_lossy().into_owned()),
        (None, Some(home)) => Some(format!("{home}/.aws/{name}")),
        (None, None) => None,
    };
    let places = [place(credentials, "credentials"), place(config, "config")];
    let places: Vec<String> = places.into_iter().flatten().collect();
    (!places.is_empty()).then(|| places.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_files_are_where_the_variables_say() {
        let of = |given: &[(&str, &str)]| {
            machine_files(&|name| {
                given.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
            })
        };
        assert_eq!(of(&[]), None);
        let home = ("HOME", "/h");
        assert_eq!(of(&[home]).as_deref(), Some("/h/.aws/credentials and /h/.aws/config"));
        assert_eq!(of(&[("AWS_CONFIG_FILE", "/c")]).as_deref(), Some("/c"));
        let named = [home, ("AWS_SHARED_CREDENTIALS_FILE", "/s")];
        assert_eq!(of(&named).as_deref(), Some("/s and /h/.aws/config"));
    }
}
