//! Tests of where requests go. The endpoints are the SDK's own rules; nothing is sent.

use aws_sdk_kinesis::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use serde_json::{Map, Value, json};

use super::*;
use crate::config::Settings;

/// Notes where a request would go, and ends it there.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Intercept for Seen {
    fn name(&self) -> &'static str {
        "Seen"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.lock().unwrap().push(context.request().uri().to_owned());
        Err("seen".into())
    }
}

/// Where a question about the stream and a read of it would go.
fn places(extra: &Value) -> [String; 2] {
    let mut config = json!({
        "kinesis.stream": "events", "aws.access.key.id": "AKID", "aws.secret.access.key": "s",
    });
    config.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let given = Settings::from_maps(config.as_object().unwrap(), &Map::new()).unwrap();
    let settings = KinesisSettings::read(&given).unwrap();
    let seen = Seen::default();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = make_client(settings.clone(), Clock::default()).await;
        let config = client.config().to_builder().interceptor(seen.clone());
        let client = Client::from_conf(config.build());
        let arn = settings.stream_arn;
        let call = client.describe_stream_summary().stream_name(&settings.stream);
        call.set_stream_arn(arn.clone()).send().await.unwrap_err();
        let call = client.get_records().shard_iterator("i").set_stream_arn(arn);
        call.send().await.unwrap_err();
    });
    let seen = seen.0.lock().unwrap().clone();
    seen.try_into().unwrap()
}

#[track_caller]
fn check(extra: &Value, asks: &str, reads: &str) {
    assert_eq!(places(extra), [format!("{asks}/"), format!("{reads}/")], "{extra}");
}

#[track_caller]
fn check_one(extra: &Value, place: &str) {
    check(extra, place, place);
}

#[test]
fn requests_go_where_the_settings_say() {
    check_one(&json!({}), "https://kinesis.us-east-1.amazonaws.com");
    let frankfurt = json!({"kinesis.region": "EU_CENTRAL_1"});
    check_one(&frankfurt, "https://kinesis.eu-central-1.amazonaws.com");
    let beijing = json!({"kinesis.region": "cn-north-1"});
    check_one(&beijing, "https://kinesis.cn-north-1.amazonaws.com.cn");
    let fips = json!({"kinesis.fips": true});
    check_one(&fips, "https://kinesis-fips.us-east-1.amazonaws.com");
    let dual = json!({"kinesis.dualstack": "true"});
    check_one(&dual, "https://kinesis.us-east-1.api.aws");
    let both = json!({"kinesis.fips": true, "kinesis.dualstack": true});
    check_one(&both, "https://kinesis-fips.us-east-1.api.aws");
    let own = json!({"kinesis.endpoint": "https://vpce-1.kinesis.us-east-1.vpce.amazonaws.com"});
    check_one(&own, "https://vpce-1.kinesis.us-east-1.vpce.amazonaws.com");
    let plain = json!({"kinesis.endpoint": "http://127.0.0.1:4567"});
    check_one(&plain, "http://127.0.0.1:4567");
}

/// With an ARN, the service is asked at addresses of the stream's account.
#[test]
fn an_arn_leads_to_the_accounts_endpoints() {
    let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/events";
    check(
        &json!({"kinesis.stream.arn": arn}),
        "https://123456789012.control-kinesis.eu-west-1.amazonaws.com",
        "https://123456789012.data-kinesis.eu-west-1.amazonaws.com",
    );
    let own = json!({"kinesis.stream.arn": arn, "kinesis.endpoint": "http://127.0.0.1:1"});
    check_one(&own, "http://127.0.0.1:1");
}
