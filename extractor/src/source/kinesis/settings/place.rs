//! Which stream, and where requests about it go: its name or ARN, the region, and the endpoint that
//! follows from them or is named. Pure.

use protocol::Failure;

use crate::config::Settings;

/// Keys of CONFIG that are read here.
pub(super) const KEYS: [&str; 6] = [
    "kinesis.dualstack",
    "kinesis.endpoint",
    "kinesis.fips",
    "kinesis.region",
    "kinesis.stream",
    "kinesis.stream.arn",
];

const STREAM: &str = "kinesis.stream";
const ARN: &str = "kinesis.stream.arn";
const REGION: &str = "kinesis.region";

/// The region where none is named: that of the older connector.
const REGION_DEFAULT: &str = "us-east-1";

/// The stream, and where it is.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) stream: String,
    pub(super) arn: Option<String>,
    pub(super) region: String,
    pub(super) endpoint: Option<String>,
    pub(super) fips: bool,
    pub(super) dualstack: bool,
}

/// Reads the keys, of which an ARN answers for two.
pub(super) fn place(settings: &Settings) -> Result<Place, Failure> {
    let arn = settings.text(ARN);
    let of_arn = match arn {
        None => None,
        Some(text) => Some(parts_of(text).ok_or_else(|| {
            let form = "allowed: arn:aws:kinesis:REGION:ACCOUNT:stream/NAME";
            settings.invalid(ARN, form)
        })?),
    };
    let agrees = |key: &str, named: Option<&str>, of_arn: Option<&str>| match (named, of_arn) {
        (Some(named), Some(of_arn)) if named != of_arn => {
            Err(settings.invalid(key, &format!("kinesis.stream.arn says {of_arn}")))
        }
        _ => Ok(()),
    };
    let stream = stream(settings)?;
    agrees(STREAM, stream.as_deref(), of_arn.as_ref().map(|(_, stream)| stream.as_str()))?;
    let region = region(settings, REGION)?;
    agrees(REGION, region.as_deref(), of_arn.as_ref().map(|(region, _)| region.as_str()))?;
    let (arn_region, arn_stream) = of_arn.unzip();
    let (fips, dualstack) =
        (settings.flag("kinesis.fips", false)?, settings.flag("kinesis.dualstack", false)?);
    let endpoint = url(settings, "kinesis.endpoint")?;
    for (key, wanted) in [("kinesis.fips", fips), ("kinesis.dualstack", dualstack)] {
        if wanted && endpoint.is_some() {
            return Err(settings.invalid(key, "kinesis.endpoint names the endpoint already"));
        }
    }
    Ok(Place {
        stream: stream
            .or(arn_stream)
            .ok_or_else(|| Settings::missing(STREAM, "names the stream"))?,
        arn: arn.map(ToOwned::to_owned),
        region: region.or(arn_region).unwrap_or_else(|| REGION_DEFAULT.to_owned()),
        endpoint,
        fips,
        dualstack,
    })
}

fn stream(settings: &Settings) -> Result<Option<String>, Failure> {
    let Some(stream) = settings.text(STREAM) else { return Ok(None) };
    if !is_name(stream) {
        let text = "a stream name has 1 to 128 letters, digits, dots, underscores and hyphens";
        return Err(settings.invalid(STREAM, text));
    }
    Ok(Some(stream.to_owned()))
}

fn is_name(stream: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=128).contains(&stream.len()) && stream.bytes().all(legal)
}

/// Region and name of `arn:PARTITION:kinesis:REGION:ACCOUNT:stream/NAME`.
fn parts_of(arn: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = arn.split(':').collect();
    let &["arn", partition, "kinesis", region, account, resource] = parts.as_slice() else {
        return None;
    };
    let name = resource.strip_prefix("stream/")?;
    let numbered = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let whole = partition.starts_with("aws") && numbered && is_region(region) && is_name(name);
    whole.then(|| (region.to_owned(), name.to_owned()))
}

/// Reads `us-east-1` or `US_EAST_1`.
pub(super) fn region(settings: &Settings, key: &str) -> Result<Option<String>, Failure> {
    let Some(text) = settings.text(key) else { return Ok(None) };
    let region = text.to_ascii_lowercase().replace('_', "-");
    if !is_region(&region) {
        return Err(settings.invalid(key, "allowed: a region, as us-east-1 or US_EAST_1"));
    }
    Ok(Some(region))
}

fn is_region(region: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let parts: Vec<&str> = region.split('-').filter(|part| !part.is_empty()).collect();
    let numbered = parts.last().is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()));
    region.len() <= 32 && parts.len() >= 3 && numbered && region.bytes().all(legal)
}

/// Reads `http://HOST:PORT` or `https://HOST:PORT`.
pub(super) fn url(settings: &Settings, key: &str) -> Result<Option<String>, Failure> {
    let Some(text) = settings.text(key) else { return Ok(None) };
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
    if host.is_empty() || text.contains(char::is_whitespace) || host.contains('@') {
        return Err(settings.invalid(key, "allowed: http://HOST:PORT or https://HOST:PORT"));
    }
    Ok(Some(text.to_owned()))
}
