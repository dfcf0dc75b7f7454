-- The statements of SingleStore's page "Kafka Connect Pipelines" (9.1), in its order; the pipeline also runs in
-- the foreground once and is stopped, so that the queries find what was put and nothing moves any more.

-- Enable the experimental feature
SET GLOBAL experimental_features_config = "kafka_connect_enabled=true";

SHOW VARIABLES LIKE 'experimental_features_config';

SET GLOBAL pipelines_extractor_batch_size = 10000;
SET GLOBAL pipelines_extractor_max_batch_interval_ms = 1000;

-- Create Kinesis pipeline
CREATE INFERRED PIPELINE kinesis_pipeline 
AS LOAD DATA KAFKACONNECT 'kafka-connector'
CONFIG '{
  "connector.class": "com.singlestore.kafka.connect.kinesis.KinesisSourceConnector",
  "aws.access.key.id": "<aws_access_key>",
  "aws.secret.access.key": "<aws_secret_key>",
  "aws.session.token": "<aws_session_token>",
  "kafka.topic": "kinesis-topic",
  "kinesis.stream": "my-kinesis-stream",
  "kinesis.region": "us-east-1",
  "tasks.max": 4
}'
CREDENTIALS '{}' -- AWS credentials are in CONFIG for Kinesis connector
FORMAT AVRO;

-- The data is there before the pipeline runs on beside the queries.
START PIPELINE kinesis_pipeline FOREGROUND;

-- Start the pipeline
START PIPELINE kinesis_pipeline;

SELECT 
  PIPELINE_NAME,
  STATE,
  CONFIG_JSON
FROM information_schema.PIPELINES
WHERE PIPELINE_NAME = 'kinesis_pipeline';

STOP PIPELINE kinesis_pipeline;

-- Extract a specific field
SELECT
 topic,
 JSON_EXTRACT_STRING(record, 'partitionKey') AS partition_key,
 JSON_EXTRACT_STRING(record, 'sequenceNumber') AS seq_no,
 JSON_EXTRACT_STRING(record, 'shardId') AS shard_id
FROM kinesis_pipeline;

-- Filter based on JSON content
SELECT *
FROM kinesis_pipeline
WHERE JSON_EXTRACT_STRING(record, 'partitionKey') = 'user-c';

-- Extract multiple fields
SELECT
  topic,

  -- id envelope
  JSON_EXTRACT_STRING(id, 'partitionKey') AS id_partition_key,

  -- outer record (Kinesis metadata)
  JSON_EXTRACT_STRING(record, 'partitionKey')     AS partition_key,
  JSON_EXTRACT_STRING(record, 'sequenceNumber') AS sequence_number,
  JSON_EXTRACT_STRING(record, 'shardId')        AS shard_id,
  JSON_EXTRACT_STRING(record, 'streamName')     AS stream_name,
  JSON_EXTRACT_BIGINT(record, 'approximateArrivalTimestamp') AS arrival_ts_ms,

  -- inner payload (decoded from record.data)
  JSON_EXTRACT_BIGINT(
    FROM_BASE64(JSON_EXTRACT_STRING(record, 'data')),
    'seq'
  ) AS seq,
  JSON_EXTRACT_STRING(
    FROM_BASE64(JSON_EXTRACT_STRING(record, 'data')),
    'msg'
  ) AS msg

FROM kinesis_pipeline;

-- Check task distribution
SELECT 
  TASK_ID,
  COUNT(*) as offset_count
FROM information_schema.PIPELINES_SOURCE_OFFSETS
WHERE PIPELINE_NAME = 'kinesis_pipeline'
GROUP BY TASK_ID;

SELECT * FROM information_schema.PIPELINES_SOURCE_OFFSETS
WHERE PIPELINE_NAME = 'kinesis_pipeline'
