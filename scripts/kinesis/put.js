// node put.js PORT STREAM COUNT: makes a stream of three shards and puts records with odd keys, empty data
// and data that is no text. The emulator verifies no signature.
const http = require('http');
const [port, stream, count] = process.argv.slice(2);

function call(operation, input) {
  const body = JSON.stringify(input);
  const headers = {
    'X-Amz-Target': `Kinesis_20131202.${operation}`,
    'Content-Type': 'application/x-amz-json-1.1',
    'Content-Length': Buffer.byteLength(body),
    Authorization: 'AWS4-HMAC-SHA256 Credential=put/20260101/us-east-1/kinesis/aws4_request, ' +
      'SignedHeaders=host, Signature=none',
    'X-Amz-Date': '20260101T000000Z',
  };
  return new Promise((done, failed) => {
    const request = http.request({ host: '127.0.0.1', port, method: 'POST', headers }, (answer) => {
      let text = '';
      answer.on('data', (part) => (text += part));
      answer.on('end', () => {
        if (answer.statusCode === 200) done(text ? JSON.parse(text) : {});
        else failed(new Error(`${operation}: ${answer.statusCode} ${text}`));
      });
    });
    request.on('error', failed);
    request.end(body);
  });
}

const keys = ['user-b', 'user-c', 'Zürich', '世界', '🦀', 'with "quotes" and \\', 'tab\tand\nline', 'a/b'];

function data(number) {
  if (number % 50 === 0) return '';
  if (number % 7 === 0) return Buffer.from([0, 255, 254, number % 256]).toString('base64');
  return Buffer.from(JSON.stringify({ seq: number, msg: `message ${number}` })).toString('base64');
}

async function main() {
  await call('CreateStream', { StreamName: stream, ShardCount: 3 });
  for (;;) {
    const { StreamDescriptionSummary: it } = await call('DescribeStreamSummary', { StreamName: stream });
    if (it.StreamStatus === 'ACTIVE') break;
    await new Promise((done) => setTimeout(done, 50));
  }
  for (let first = 0; first < count; first += 100) {
    const Records = [];
    for (let n = first; n < Math.min(count, first + 100); n += 1) {
      Records.push({ PartitionKey: keys[n % keys.length] + (n % 3 ? '' : n), Data: data(n) });
    }
    const answer = await call('PutRecords', { StreamName: stream, Records });
    if (answer.FailedRecordCount) throw new Error(`${answer.FailedRecordCount} records were refused`);
  }
  console.log(`put ${count}`);
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
