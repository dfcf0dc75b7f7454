//! How the client and the brokers know each other: TLS and SASL out of the settings. It may read
//! the PEM files that settings name; it connects to nothing.
//!
//! A key that would be ignored is refused: who gives a password means it to be used. No `Debug`
//! output of this module holds a secret.

use std::fmt;
use std::fs::File;
use std::io::Read;

use protocol::Failure;

use super::msk::Msk;
use super::oidc::Oidc;
use super::token::{Given, Tokens, extensions};
use crate::config::Settings;

/// Keys that this file reads.
pub(super) const KEYS: [&str; 30] = [
    "aws.access.key.id",
    "aws.region",
    "aws.secret.access.key",
    "aws.session.token",
    "https.ca.location",
    "https.ca.pem",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.sigalgs.list",
];

/// Names of the Java client with what to use here.
pub(super) const JAVA_ONLY: [(&str, &str); 22] = [
    ("sasl.client.callback.handler.class", "sasl.mechanism with the keys it needs"),
    ("sasl.jaas.config", "sasl.mechanism with sasl.username and sasl.password"),
    ("sasl.login.callback.handler.class", "sasl.oauthbearer.method=oidc, or AWS_MSK_IAM"),
    ("sasl.login.class", "sasl.mechanism with the keys it needs"),
    ("sasl.oauthbearer.jwks.endpoint.url", "nothing; brokers check tokens, clients do not"),
    ("security.providers", "nothing; there is no JVM"),
    ("ssl.enabled.protocols", "properties.ssl.cipher.suites"),
    ("ssl.engine.factory.class", "nothing; there is no JVM"),
    ("ssl.keymanager.algorithm", "nothing; there is no JVM"),
    ("ssl.keystore.certificate.chain", "ssl.certificate.pem"),
    ("ssl.keystore.key", "ssl.key.pem"),
    ("ssl.keystore.location", "ssl.certificate.location and ssl.key.location (PEM)"),
    ("ssl.keystore.password", "ssl.key.password"),
    ("ssl.keystore.type", "ssl.certificate.location and ssl.key.location (PEM)"),
    ("ssl.protocol", "ssl.cipher.suites"),
    ("ssl.provider", "nothing; there is no JVM"),
    ("ssl.secure.random.implementation", "nothing; there is no JVM"),
    ("ssl.trustmanager.algorithm", "nothing; there is no JVM"),
    ("ssl.truststore.certificates", "ssl.ca.pem"),
    ("ssl.truststore.location", "ssl.ca.location (PEM)"),
    ("ssl.truststore.password", "nothing; ssl.ca.location needs no password"),
    ("ssl.truststore.type", "ssl.ca.location (PEM)"),
];

/// Bytes of a PEM file or text. Why 1 MiB: the bundle of all public authorities has 250 KB.
pub(super) const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// How brokers are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

const PROTOCOLS: [(&str, Protocol); 4] = [
    ("PLAINTEXT", Protocol::Plaintext),
    ("SSL", Protocol::Ssl),
    ("SASL_PLAINTEXT", Protocol::SaslPlaintext),
    ("SASL_SSL", Protocol::SaslSsl),
];

impl Protocol {
    /// As written in settings.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Ssl => "SSL",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
        }
    }

    const fn is_tls(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    const fn is_sasl(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }
}

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mechanism {
    Plain,
    Scram256,
    Scram512,
    OauthBearer,
    AwsMskIam,
}

const MECHANISMS: [(&str, Mechanism); 5] = [
    ("PLAIN", Mechanism::Plain),
    ("SCRAM-SHA-256", Mechanism::Scram256),
    ("SCRAM-SHA-512", Mechanism::Scram512),
    ("OAUTHBEARER", Mechanism::OauthBearer),
    ("AWS_MSK_IAM", Mechanism::AwsMskIam),
];

/// What the client shows to brokers over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shows {
    Nothing,
    Certificate,
}

/// See the file.
#[derive(Clone)]
pub(super) struct Security {
    pub(super) protocol: Protocol,
    pub(super) shows: Shows,
    /// Where tokens come from, for the mechanisms that use them.
    pub(super) tokens: Option<Tokens>,
    /// What the user should know.
    pub(super) warnings: Vec<String>,
    properties: Vec<(&'static str, String)>,
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

impl Security {
    /// Reads the table.
    pub(super) fn read(settings: &Settings) -> Result<Self, Failure> {
        if let Some((key, instead)) = JAVA_ONLY.iter().find(|(key, _)| settings.text(key).is_some())
        {
            let text = format!("a setting of the Java client; here it is {instead}");
            return Err(settings.invalid(key, &text));
        }
        let protocol = settings.choice("security.protocol", &PROTOCOLS, Protocol::Plaintext)?;
        refuse_ignored(settings, protocol)?;
        let mut security = Self {
            protocol,
            shows: Shows::Nothing,
            tokens: None,
            warnings: Vec::new(),
            properties: Vec::new(),
        };
        if protocol != Protocol::Plaintext {
            security.set("security.protocol", protocol.name().to_ascii_lowercase());
        }
        if protocol.is_tls() {
            security.read_tls(settings)?;
        }
        if protocol.is_sasl() {
            security.read_sasl(settings)?;
        }
        Ok(security)
    }

    /// What librdkafka is to be told.
    pub(super) fn properties(&self) -> &[(&'static str, String)] {
        &self.properties
    }

    fn set(&mut self, key: &'static str, value: String) {
        self.properties.push((key, value));
    }

    fn read_tls(&mut self, settings: &Settings) -> Result<(), Failure> {
        let ca = self.read_pem(settings, ["ssl.ca.pem", "ssl.ca.location"])?;
        if !ca {
            // A library that is linked in does not know where this system keeps its authorities.
            self.set("ssl.ca.location", "probe".to_owned());
        }
        let certificate =
            self.read_pem(settings, ["ssl.certificate.pem", "ssl.certificate.location"])?;
        let key = self.read_pem(settings, ["ssl.key.pem", "ssl.key.location"])?;
        match (certificate, key) {
            (true, false) => {
                let what = "the client certificate needs its key; also ssl.key.location";
                return Err(Settings::missing("ssl.key.pem", what));
            }
            (false, true) => {
                let what = "the client key needs its certificate; also ssl.certificate.location";
                return Err(Settings::missing("ssl.certificate.pem", what));
            }
            (true, true) => self.shows = Shows::Certificate,
            (false, false) => {}
        }
        for key in ["ssl.key.password", "ssl.cipher.suites", "ssl.curves.list", "ssl.sigalgs.list"]
        {
            if let Some(text) = settings.text(key) {
                self.set(key, text.to_owned());
            }
        }
        if settings.text("ssl.crl.location").is_some() {
            let path = location(settings, "ssl.crl.location")?;
            self.set("ssl.crl.location", path);
        }
        let names = [("https", true), ("none", false)];
        if settings.choice("ssl.endpoint.identification.algorithm", &names, true)? {
            self.set("ssl.endpoint.identification.algorithm", "https".to_owned());
        } else {
            self.set("ssl.endpoint.identification.algorithm", "none".to_owned());
            self.warnings.push(
                "ssl.endpoint.identification.algorithm=none: the name in the broker's certificate \
                 is not checked; whoever has a certificate of the same authority can pose as the \
                 broker"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Reads a text or the path of a file, whichever is given; says whether one was.
    fn read_pem(&mut self, settings: &Settings, keys: [&'static str; 2]) -> Result<bool, Failure> {
        let [pem, path] = keys;
        match (settings.text(pem), settings.text(path)) {
            (Some(_), Some(_)) => Err(settings.invalid(path, &format!("{pem} is set too"))),
            (Some(_), None) => {
                let text = pem_text(settings, pem)?;
                self.set(pem, text);
                Ok(true)
            }
            (None, Some(_)) => {
                let text = location(settings, path)?;
                self.set(path, text);
                Ok(true)
            }
            (None, None) => Ok(false),
        }
    }

    fn read_sasl(&mut self, settings: &Settings) -> Result<(), Failure> {
        let found = settings.text_of_any(&["sasl.mechanism", "sasl.mechanisms"])?;
        let (key, _) = found.ok_or_else(|| {
            let names: Vec<_> = MECHANISMS.iter().map(|(name, _)| *name).collect();
            let what = format!("one of {}", names.join(", "));
            Settings::missing("sasl.mechanism", &what)
        })?;
        let mechanism = settings.choice(key, &MECHANISMS, Mechanism::Plain)?;
        refuse_unused(settings, mechanism)?;
        let name = match mechanism {
            Mechanism::Plain => "PLAIN",
            Mechanism::Scram256 => "SCRAM-SHA-256",
            Mechanism::Scram512 => "SCRAM-SHA-512",
            Mechanism::OauthBearer | Mechanism::AwsMskIam => "OAUTHBEARER",
        };
        self.set("sasl.mechanism", name.to_owned());
        let is_tls = self.protocol.is_tls();
        match mechanism {
            Mechanism::Plain | Mechanism::Scram256 | Mechanism::Scram512 => {
                for key in ["sasl.username", "sasl.password"] {
                    let what = format!("{name} needs sasl.username and sasl.password");
                    let text = settings.text(key).ok_or_else(|| Settings::missing(key, &what))?;
                    self.set(key, text.to_owned());
                }
                if mechanism == Mechanism::Plain && !is_tls {
                    self.warn_clear("the password crosses");
                }
            }
            Mechanism::OauthBearer => {
                self.tokens = Some(tokens(settings)?);
                if !is_tls {
                    self.warn_clear("tokens cross");
                }
            }
            Mechanism::AwsMskIam if !is_tls => {
                return Err(settings.invalid(key, "it is spoken over security.protocol=SASL_SSL"));
            }
            Mechanism::AwsMskIam => self.tokens = Some(Tokens::Msk(Msk::read(settings)?)),
        }
        Ok(())
    }

    fn warn_clear(&mut self, what: &str) {
        self.warnings.push(format!(
            "security.protocol=SASL_PLAINTEXT: {what} the network in the open; prefer SASL_SSL"
        ));
    }
}

/// Where OAUTHBEARER gets its tokens.
fn tokens(settings: &Settings) -> Result<Tokens, Failure> {
    let methods = [("default", false), ("oidc", true)];
    let asked = settings.text("sasl.oauthbearer.token.endpoint.url").is_some();
    let given = settings.text("sasl.oauthbearer.token");
    let oidc = settings.choice("sasl.oauthbearer.method", &methods, asked)?;
    let extensions = extensions(settings, "sasl.oauthbearer.extensions")?;
    match (oidc, given) {
        (true, Some(_)) => Err(settings.invalid(
            "sasl.oauthbearer.token",
            "sasl.oauthbearer.method=oidc fetches tokens itself; give one or the other",
        )),
        (true, None) => Ok(Tokens::Oidc(Oidc::read(settings, extensions)?)),
        (false, Some(token)) => Ok(Tokens::Given(Given::new(token.to_owned(), extensions))),
        (false, None) => Err(Settings::missing(
            "sasl.oauthbearer.token",
            "OAUTHBEARER needs a token, or sasl.oauthbearer.method=oidc to fetch them",
        )),
    }
}

/// A key of TLS or SASL that the chosen protocol does not use.
fn refuse_ignored(settings: &Settings, protocol: Protocol) -> Result<(), Failure> {
    let is_set = |key: &&&str| settings.text(key).is_some();
    let ssl = KEYS.iter().filter(|key| key.starts_with("ssl."));
    if !protocol.is_tls()
        && let Some(key) = ssl.clone().find(is_set)
    {
        let text = format!("security.protocol={} has no TLS; set SSL or SASL_SSL", protocol.name());
        return Err(settings.invalid(key, &text));
    }
    let sasl = KEYS.iter().filter(|key| !key.starts_with("ssl.") && **key != "security.protocol");
    if !protocol.is_sasl()
        && let Some(key) = sasl.clone().find(is_set)
    {
        let name = protocol.name();
        let text = format!("security.protocol={name} has no login; set SASL_SSL or SASL_PLAINTEXT");
        return Err(settings.invalid(key, &text));
    }
    Ok(())
}

/// A key of another mechanism.
fn refuse_unused(settings: &Settings, mechanism: Mechanism) -> Result<(), Failure> {
    let used = |key: &str| match mechanism {
        Mechanism::Plain | Mechanism::Scram256 | Mechanism::Scram512 => {
            matches!(key, "sasl.username" | "sasl.password")
        }
        Mechanism::OauthBearer => {
            key.starts_with("sasl.oauthbearer.") || key.starts_with("https.ca.")
        }
        Mechanism::AwsMskIam => key.starts_with("aws."),
    };
    let common = |key: &str| {
        key.starts_with("ssl.") || key.starts_with("sasl.mechanism") || key == "security.protocol"
    };
    let unused = KEYS.iter().find(|key| settings.text(key).is_some() && !common(key) && !used(key));
    unused.map_or(Ok(()), |key| {
        Err(settings.invalid(key, "the chosen sasl.mechanism does not use it; take it out"))
    })
}

/// PEM out of a setting. A text that came through a form may have `\n` for line ends.
pub(super) fn pem_text(settings: &Settings, key: &str) -> Result<String, Failure> {
    let text = settings.text(key).unwrap_or_default();
    if !text.contains("-----BEGIN ") {
        let location = key.replace(".pem", ".location");
        let reason = format!("no PEM text; a file is named by {location}");
        return Err(settings.invalid(key, &reason));
    }
    let text = if text.contains('\n') { text.to_owned() } else { text.replace("\\n", "\n") };
    Ok(text + "\n")
}

/// The path of a PEM file that can be read, or of a folder of authorities.
pub(super) fn location(settings: &Settings, key: &str) -> Result<String, Failure> {
    let path = settings.text(key).unwrap_or_default();
    if key.contains(".ca.") && std::path::Path::new(path).is_dir() {
        return Ok(path.to_owned());
    }
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    let bytes = read().map_err(|e| settings.invalid(key, &format!("cannot read it: {e}")))?;
    if bytes.len() as u64 > PEM_BYTES_MAX {
        return Err(settings.invalid(key, &format!("more than {PEM_BYTES_MAX} bytes")));
    }
    let has = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
    if has(b"-----BEGIN ") {
        return Ok(path.to_owned());
    }
    let reason = if bytes.starts_with(&[0xfe, 0xed, 0xfe, 0xed]) {
        "a JKS store; write its certificates as PEM with keytool -exportcert -rfc, and a key with \
         keytool -importkeystore -deststoretype PKCS12, then openssl pkcs12"
    } else if bytes.starts_with(&[0x30, 0x82]) {
        "DER or PKCS#12, not PEM; convert it with openssl pkcs12 or openssl x509"
    } else {
        "no PEM file: it has no line -----BEGIN"
    };
    Err(settings.invalid(key, reason))
}

#[cfg(test)]
mod tests;
