//! How requests are signed: a key pair, a profile or what the machine offers, and the role that is
//! assumed with that. Pure; nothing of it is shown by `Debug` that could be a secret.

use std::fmt;
use std::time::Duration;

use protocol::Failure;

use super::place;
use crate::config::Settings;

/// Keys of CONFIG and CREDENTIALS that are read here.
pub(super) const KEYS: [&str; 17] = [
    "aws.access.key.id",
    "aws.container.credentials.url",
    "aws.container.token.file",
    "aws.instance.metadata.endpoint",
    "aws.profile",
    "aws.profile.file",
    "aws.role.arn",
    "aws.role.external.id",
    "aws.role.session.name",
    "aws.role.session.seconds",
    "aws.secret.access.key",
    "aws.secret.key.id",
    "aws.session.token",
    "aws.sts.endpoint",
    "aws.sts.region",
    "aws.use.default.chain",
    "aws.web.identity.token.file",
];

/// Keys of which one, at most, says where the first credentials come from.
const SOURCES: [&str; 6] =
    ["aws.access.key.id", "aws.profile", WEB, CONTAINER, INSTANCE, "aws.use.default.chain"];

const WEB: &str = "aws.web.identity.token.file";
const CONTAINER: &str = "aws.container.credentials.url";
const INSTANCE: &str = "aws.instance.metadata.endpoint";

/// Hosts that give a container its credentials over plain HTTP: ECS, EKS (both kinds of addresses)
/// and this machine itself; the SDK allows the same.
const CONTAINER_HOSTS: [&str; 6] =
    ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]", "127.0.0.1", "[::1]", "localhost"];

/// Whom the account's log names where the pipeline names nobody.
const SESSION_NAME_DEFAULT: &str = "extractor";

/// Where the first credentials come from.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A key pair that the pipeline names.
    Static {
        /// `aws.access.key.id`.
        id: String,
        /// `aws.secret.access.key`.
        secret: String,
        /// `aws.session.token`.
        token: Option<String>,
    },
    /// A profile of AWS files.
    Profile {
        /// `aws.profile`.
        name: String,
        /// `aws.profile.file`; the machine's own files without it.
        file: Option<String>,
    },
    /// A token that a role's account trusts, in a file that is read for each answer.
    WebIdentity {
        /// `aws.web.identity.token.file`.
        token_file: String,
    },
    /// An address that gives a container its credentials.
    Container {
        /// `aws.container.credentials.url`.
        url: String,
        /// `aws.container.token.file`: what authorises the question; read for each.
        token_file: Option<String>,
    },
    /// The metadata of a virtual machine, by its second version.
    Instance {
        /// `aws.instance.metadata.endpoint`.
        endpoint: String,
    },
    /// What the machine offers: environment, files, web identity, container, instance.
    Chain,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static { .. } => f.write_str("Static(***)"),
            Self::Profile { name, .. } => write!(f, "Profile({name})"),
            Self::WebIdentity { .. } => f.write_str("WebIdentity"),
            Self::Container { .. } => f.write_str("Container"),
            Self::Instance { .. } => f.write_str("Instance"),
            Self::Chain => f.write_str("Chain"),
        }
    }
}

/// A role that is assumed before anything is read.
#[derive(Clone, PartialEq, Eq)]
pub struct Role {
    /// `aws.role.arn`.
    pub arn: String,
    /// `aws.role.external.id`: what the role's account wants to hear from this one.
    pub external_id: Option<String>,
    /// `aws.role.session.name`: what the account's log calls the reader.
    pub session_name: String,
    /// `aws.role.session.seconds`: how long the credentials of one answer are good for.
    pub session: Duration,
    /// `aws.sts.endpoint`, instead of the region's.
    pub endpoint: Option<String>,
    /// `aws.sts.region`, or else the stream's.
    pub region: String,
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Role({} in {})", self.arn, self.region)
    }
}

/// Reads where the first credentials come from.
pub(super) fn credentials(settings: &Settings) -> Result<Credentials, Failure> {
    let chain = settings.flag("aws.use.default.chain", false)?;
    let is_set = |key: &&&str| match **key {
        // The chain is for where nothing else is named, so that both together are no mistake.
        "aws.use.default.chain" => false,
        key => settings.text(key).is_some(),
    };
    let mut sources = SOURCES.iter().filter(is_set);
    let source = sources.next();
    if let (Some(first), Some(second)) = (source, sources.next()) {
        return Err(settings.invalid(second, &format!("{first} is set too")));
    }
    need(settings, "aws.profile.file", "aws.profile")?;
    need(settings, "aws.container.token.file", CONTAINER)?;
    let Some(source) = source else { return nothing_named(settings, chain) };
    let text = |key: &str| settings.text(key).unwrap_or_default().to_owned();
    match *source {
        "aws.access.key.id" => pair(settings, text("aws.access.key.id")),
        "aws.profile" => Ok(Credentials::Profile {
            name: text("aws.profile"),
            file: path(settings, "aws.profile.file")?,
        }),
        WEB => {
            need(settings, WEB, "aws.role.arn")?;
            let token_file = path(settings, WEB)?.unwrap_or_default();
            Ok(Credentials::WebIdentity { token_file })
        }
        CONTAINER => {
            let url = container(settings)?;
            Ok(Credentials::Container {
                url,
                token_file: path(settings, "aws.container.token.file")?,
            })
        }
        _ => {
            let endpoint = place::url(settings, INSTANCE)?.unwrap_or_default();
            Ok(Credentials::Instance { endpoint })
        }
    }
}

fn pair(settings: &Settings, id: String) -> Result<Credentials, Failure> {
    let secret = settings.text_of_any(&["aws.secret.access.key", "aws.secret.key.id"])?;
    let (_, secret) = secret
        .ok_or_else(|| Settings::missing("aws.secret.access.key", "aws.access.key.id needs it"))?;
    let token = settings.text("aws.session.token").map(ToOwned::to_owned);
    Ok(Credentials::Static { id, secret: secret.to_owned(), token })
}

fn nothing_named(settings: &Settings, chain: bool) -> Result<Credentials, Failure> {
    for key in ["aws.secret.access.key", "aws.secret.key.id", "aws.session.token"] {
        need(settings, key, "aws.access.key.id")?;
    }
    if chain {
        return Ok(Credentials::Chain);
    }
    let what = "give aws.access.key.id and aws.secret.access.key, or aws.profile, or \
                aws.use.default.chain=true to use what the machine offers";
    Err(Settings::missing("aws.access.key.id", what))
}

/// Where `key` is set, `needed` has to be set as well.
fn need(settings: &Settings, key: &str, needed: &str) -> Result<(), Failure> {
    match (settings.text(key), settings.text(needed)) {
        (Some(_), None) => Err(Settings::missing(needed, &format!("{key} needs it"))),
        _ => Ok(()),
    }
}

/// A path; the extractor's own folder is of no use to anybody.
fn path(settings: &Settings, key: &str) -> Result<Option<String>, Failure> {
    match settings.text(key) {
        Some(file) if !file.starts_with('/') => {
            Err(settings.invalid(key, "allowed: a whole path, as /etc/aws/credentials"))
        }
        file => Ok(file.map(ToOwned::to_owned)),
    }
}

fn container(settings: &Settings) -> Result<String, Failure> {
    let url = place::url(settings, CONTAINER)?.unwrap_or_default();
    let plain = url.strip_prefix("http://").map(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        let port =
            host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        port.map_or(host, |(host, _)| host)
    });
    match plain {
        Some(host) if !CONTAINER_HOSTS.contains(&host) => {
            let hosts = CONTAINER_HOSTS.join(", ");
            Err(settings.invalid(CONTAINER, &format!("allowed: https, or http to one of {hosts}")))
        }
        _ => Ok(url),
    }
}

/// Reads the role to assume; `region` is the stream's.
pub(super) fn role(settings: &Settings, region: &str) -> Result<Option<Role>, Failure> {
    const ARN: &str = "aws.role.arn";
    const OTHERS: [&str; 5] = [
        "aws.role.external.id",
        "aws.role.session.name",
        "aws.role.session.seconds",
        "aws.sts.endpoint",
        "aws.sts.region",
    ];
    let Some(arn) = settings.text(ARN) else {
        return match OTHERS.iter().find(|key| settings.text(key).is_some()) {
            Some(key) => Err(Settings::missing(ARN, &format!("{key} needs it"))),
            None => Ok(None),
        };
    };
    let mut parts = arn.splitn(6, ':');
    let named = |part: Option<&str>| part.is_some_and(|part| !part.is_empty());
    let is_role = parts.next() == Some("arn")
        && named(parts.next())
        && parts.next() == Some("iam")
        && parts.nth(1).is_some_and(|account| account.bytes().all(|b| b.is_ascii_digit()))
        && parts.next().is_some_and(|role| role.len() > 5 && role.starts_with("role/"));
    if !is_role || arn.len() > 2048 {
        return Err(
            settings.invalid(ARN, "allowed: a role, as arn:aws:iam::123456789012:role/name")
        );
    }
    if let (Some(_), Some(_)) = (settings.text(WEB), settings.text(OTHERS[0])) {
        let text = format!("{WEB} is set, and a role is not told an external id with it");
        return Err(settings.invalid(OTHERS[0], &text));
    }
    Ok(Some(Role {
        arn: arn.to_owned(),
        external_id: word(settings, OTHERS[0], 2..=1224, b"+=,.@:/-_")?,
        session_name: word(settings, OTHERS[1], 2..=64, b"+=,.@-_")?
            .unwrap_or_else(|| SESSION_NAME_DEFAULT.to_owned()),
        session: Duration::from_secs(settings.number(OTHERS[2], 900..=43_200, 3_600)?),
        endpoint: place::url(settings, OTHERS[3])?,
        region: place::region(settings, OTHERS[4])?.unwrap_or_else(|| region.to_owned()),
    }))
}

/// A text as STS takes it: its length and its signs are the service's rule for AssumeRole.
fn word(
    settings: &Settings,
    key: &str,
    lengths: std::ops::RangeInclusive<usize>,
    signs: &[u8],
) -> Result<Option<String>, Failure> {
    let Some(text) = settings.text(key) else { return Ok(None) };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || signs.contains(&byte);
    if lengths.contains(&text.len()) && text.bytes().all(legal) {
        return Ok(Some(text.to_owned()));
    }
    let reason = format!(
        "allowed: {} to {} letters, digits and {}",
        lengths.start(),
        lengths.end(),
        String::from_utf8_lossy(signs)
    );
    Err(settings.invalid(key, &reason))
}
