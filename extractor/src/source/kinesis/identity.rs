//! Who signs requests: the credentials that the settings name, and the role that is assumed with
//! them. Asks nothing itself; the SDK asks when the first request is signed, and again before the
//! credentials of an answer are over.

mod container;
mod profile;
mod web;

use std::time::Duration;

use aws_config::imds;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader};
use aws_sdk_kinesis::config::{
    Credentials as Keys, Region, SharedCredentialsProvider, SharedHttpClient,
};
use aws_smithy_http_client::Builder as HttpBuilder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

use self::container::Container;
use self::profile::Profile;
pub(super) use self::profile::Unusable;
use self::web::WebIdentity;
use super::settings::{Credentials, KinesisSettings, Role};

/// Longest time of one question for credentials.
///
/// Why 5 s: it is asked three times at most within the 20 s that a request may take, and these
/// services answer in milliseconds.
const ASK_MAX: Duration = Duration::from_secs(5);

/// A client that speaks HTTPS, and HTTP where an address says so (metadata of machines does).
pub(super) fn https() -> SharedHttpClient {
    HttpBuilder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// Credentials of the machine are used only where the settings ask for them.
pub(super) async fn provider(settings: &KinesisSettings) -> Option<SharedCredentialsProvider> {
    match (&settings.credentials, &settings.role) {
        (Credentials::WebIdentity { token_file }, Some(role)) => {
            let config = sts_loader(settings, role).no_credentials().load().await;
            let provider = WebIdentity::new(&config, role, token_file);
            Some(SharedCredentialsProvider::new(provider))
        }
        (_, None) => base(settings).await,
        (_, Some(role)) => Some(assume(settings, role, base(settings).await?).await),
    }
}

async fn base(settings: &KinesisSettings) -> Option<SharedCredentialsProvider> {
    match &settings.credentials {
        Credentials::Static { id, secret, token } => {
            let keys = Keys::new(id, secret, token.clone(), None, "pipeline");
            Some(SharedCredentialsProvider::new(keys))
        }
        Credentials::Profile { name, file } => {
            let config = ProviderConfig::without_region()
                .with_region(Some(Region::new(settings.region.clone())))
                .with_use_fips(Some(settings.fips))
                .with_use_dual_stack(Some(settings.dualstack))
                .with_timeout_config(times(settings))
                .with_http_client(https());
            let provider = Profile::new(name, file.as_deref(), config);
            Some(SharedCredentialsProvider::new(provider))
        }
        Credentials::Container { url, token_file } => {
            let provider = Container::new(url, token_file.as_deref(), ask_max(settings));
            Some(SharedCredentialsProvider::new(provider))
        }
        Credentials::Instance { endpoint } => instance(settings, endpoint),
        // Web identity is for a role, which the settings make sure of.
        Credentials::WebIdentity { .. } => None,
        Credentials::Chain => {
            loader(settings, &settings.region).load().await.credentials_provider()
        }
    }
}

fn instance(settings: &KinesisSettings, endpoint: &str) -> Option<SharedCredentialsProvider> {
    let config = ProviderConfig::without_region().with_http_client(https());
    let client = imds::Client::builder()
        .configure(&config)
        .endpoint(endpoint)
        .ok()?
        .connect_timeout(settings.connect_timeout)
        .read_timeout(ask_max(settings))
        .build();
    let provider = ImdsCredentialsProvider::builder().configure(&config).imds_client(client);
    Some(SharedCredentialsProvider::new(provider.build()))
}

/// The role's credentials; the SDK keeps them until shortly before they are over.
async fn assume(
    settings: &KinesisSettings,
    role: &Role,
    base: SharedCredentialsProvider,
) -> SharedCredentialsProvider {
    let config = sts_loader(settings, role).credentials_provider(base);
    let mut builder = AssumeRoleProvider::builder(&role.arn)
        .configure(&config.load().await)
        .session_name(&role.session_name)
        .session_length(role.session);
    if let Some(id) = &role.external_id {
        builder = builder.external_id(id);
    }
    SharedCredentialsProvider::new(builder.build().await)
}

fn sts_loader(settings: &KinesisSettings, role: &Role) -> ConfigLoader {
    let loader = loader(settings, &role.region);
    match &role.endpoint {
        Some(endpoint) => loader.endpoint_url(endpoint),
        None => loader.use_fips(settings.fips).use_dual_stack(settings.dualstack),
    }
}

fn loader(settings: &KinesisSettings, region: &str) -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .timeout_config(times(settings))
        .http_client(https())
}

fn times(settings: &KinesisSettings) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(settings.connect_timeout)
        .read_timeout(ask_max(settings))
        .operation_attempt_timeout(ask_max(settings))
        .build()
}

fn ask_max(settings: &KinesisSettings) -> Duration {
    ASK_MAX.min(settings.request_timeout)
}
