// Makes test data with Apache Kafka's own client, so that what the extractor reads was not
// written by the library it reads with: topics, transactions (committed, aborted, left open),
// every codec, deleted records, null and empty keys and values, records of any size.
//
//   java -cp 'kafka-libs/*' TxnProducer.java HOST:PORT [COMMAND ... [-- COMMAND ...]]
//
// Without a command it reads one command per line from stdin. Each command is answered by one line
// of JSON on stdout, in order: {"ok":true,...} or {"ok":false,"error":"..."}; the exit code is 1
// when any failed. A word is NAME or key=value; `%20` and the like are decoded in text: values.
//
//   topic-create NAME [partitions=N] [some.topic.config=V ...]
//   topic-delete NAME                       (answers when it is gone)
//   topic-config NAME some.topic.config=V ...
//   partitions-add NAME total=N
//   delete-records NAME partition=P before=OFFSET      (-1: up to the high watermark)
//   describe NAME                           (topic id; per partition earliest, latest, stable)
//   produce NAME [count=N] [start=I] [partition=P|rr:COUNT] [codec=none|gzip|snappy|lz4|zstd]
//           [key=seq|mod:K|null|empty|text:T] [value=json|null|empty|text:T] [size=BYTES]
//           [timestamp=MS] [step=MS] [headers=A:1,B:,C] [batch=BYTES] [linger=MS] [pause=MS]
//   txn NAME pattern=c10,a5,o3 [repeat=N] [id=TRANSACTIONAL-ID] [timeout=MS] [as for produce]
//   txn-end ID commit|abort                 (ends a transaction that `o` left open)
//   count NAME [partition=P] [isolation=read_committed|read_uncommitted] [until=N] [wait=MS]
//   scram-set USER mechanism=SCRAM-SHA-256|SCRAM-SHA-512 password=TEXT
//   acl-add USER topic=NAME operation=READ          (and acl-remove)
//   sleep MS
//
// In a pattern c = committed, a = aborted (written to the log before the abort), o = left open,
// which is only allowed as the last one; an open transaction stays open when the process ends, until
// its timeout. Values are {"n":I,"txn":"none|committed|aborted|open","pad":"..."}; `size` pads the
// value to exactly that many bytes. `count` reads to the end with Kafka's own consumer; with until=N
// it reads again until at most N records are left (compaction) or `wait` is over.

import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Scanner;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListOffsetsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.ScramCredentialInfo;
import org.apache.kafka.clients.admin.ScramMechanism;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.UserScramCredentialAlteration;
import org.apache.kafka.clients.admin.UserScramCredentialUpsertion;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.acl.AccessControlEntry;
import org.apache.kafka.common.acl.AclBinding;
import org.apache.kafka.common.acl.AclOperation;
import org.apache.kafka.common.acl.AclPermissionType;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.resource.PatternType;
import org.apache.kafka.common.resource.ResourcePattern;
import org.apache.kafka.common.resource.ResourceType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class TxnProducer {
    /** A command that takes longer than this has hung: the process ends with code 3. */
    private static final long COMMAND_SECONDS_MAX = 600;

    /** How long a created or deleted topic may take to be seen by the broker. */
    private static final long TOPIC_MILLIS_MAX = 60_000;

    private final String bootstrap;
    private final Admin admin;
    private final Map<String, KafkaProducer<byte[], byte[]>> open = new HashMap<>();

    private TxnProducer(String bootstrap) {
        this.bootstrap = bootstrap;
        Properties properties = common();
        // Long enough for a broker that is being restarted, short for one that is not there.
        properties.put("default.api.timeout.ms", "30000");
        properties.put("request.timeout.ms", "15000");
        this.admin = Admin.create(properties);
    }

    public static void main(String[] args) {
        if (args.length == 0) {
            System.err.println("usage: TxnProducer HOST:PORT [COMMAND ... [-- COMMAND ...]]");
            Runtime.getRuntime().halt(2);
        }
        TxnProducer tool = new TxnProducer(args[0]);
        boolean good = true;
        if (args.length > 1) {
            List<String> words = new ArrayList<>();
            for (String word : Arrays.asList(args).subList(1, args.length)) {
                if (word.equals("--")) {
                    good &= tool.answer(words);
                    words = new ArrayList<>();
                } else {
                    words.add(word);
                }
            }
            good &= words.isEmpty() || tool.answer(words);
        } else {
            Scanner lines = new Scanner(System.in, StandardCharsets.UTF_8);
            while (lines.hasNextLine()) {
                String line = lines.nextLine().strip();
                if (!line.isEmpty() && !line.startsWith("#")) {
                    good &= tool.answer(Arrays.asList(line.split("\\s+")));
                }
            }
        }
        System.out.flush();
        // Closing a producer would abort its open transaction; leaving without does not. The exit
        // removes the codecs' unpacked native parts.
        System.exit(good ? 0 : 1);
    }

    private boolean answer(List<String> words) {
        ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor();
        ScheduledFuture<?> watchdog = clock.schedule(() -> {
            System.err.println("command hung, ending: " + String.join(" ", words));
            Runtime.getRuntime().halt(3);
        }, COMMAND_SECONDS_MAX, TimeUnit.SECONDS);
        boolean good = true;
        String line;
        try {
            line = new Json().put("ok", true).put("command", words.get(0)).merge(run(words)).end();
        } catch (Throwable thrown) {
            Throwable cause = thrown instanceof ExecutionException ? thrown.getCause() : thrown;
            String text = cause.getClass().getSimpleName() + ": " + cause.getMessage();
            line = new Json().put("ok", false).put("command", words.get(0)).put("error", text).end();
            good = false;
        } finally {
            watchdog.cancel(false);
            clock.shutdownNow();
        }
        System.out.println(line);
        System.out.flush();
        return good;
    }

    private Json run(List<String> words) throws Exception {
        String verb = words.get(0);
        Options options = new Options(words.subList(1, words.size()));
        Json result;
        switch (verb) {
            case "topic-create" -> result = createTopic(options);
            case "topic-delete" -> result = deleteTopic(options);
            case "topic-config" -> result = configureTopic(options);
            case "partitions-add" -> result = addPartitions(options);
            case "delete-records" -> result = deleteRecords(options);
            case "describe" -> result = describe(options);
            case "produce" -> result = produce(options);
            case "txn" -> result = transactions(options);
            case "txn-end" -> result = endTransaction(options);
            case "count" -> result = count(options);
            case "scram-set" -> result = setScram(options);
            case "acl-add" -> result = addAcl(options);
            case "acl-remove" -> result = removeAcl(options);
            case "sleep" -> {
                Thread.sleep(Long.parseLong(options.name("milliseconds")));
                result = new Json();
            }
            default -> throw new IllegalArgumentException("unknown command " + verb);
        }
        options.refuseUnused();
        return result;
    }

    // ---- users

    private Json setScram(Options options) throws Exception {
        String user = options.name("user");
        String name = options.text("mechanism", "SCRAM-SHA-256").replace('-', '_');
        String password = options.text("password", "");
        options.refuseUnused();
        ScramCredentialInfo info = new ScramCredentialInfo(ScramMechanism.valueOf(name), 4096);
        UserScramCredentialAlteration change =
            new UserScramCredentialUpsertion(user, info, password);
        admin.alterUserScramCredentials(List.of(change)).all().get();
        return new Json().put("user", user);
    }

    private Json addAcl(Options options) throws Exception {
        AclBinding binding = acl(options);
        admin.createAcls(List.of(binding)).all().get();
        return new Json();
    }

    private Json removeAcl(Options options) throws Exception {
        AclBinding binding = acl(options);
        int removed = admin.deleteAcls(List.of(binding.toFilter())).all().get().size();
        return new Json().put("removed", removed);
    }

    private static AclBinding acl(Options options) {
        String user = options.name("user");
        String topic = options.text("topic", "");
        AclOperation operation = AclOperation.valueOf(options.text("operation", ""));
        options.refuseUnused();
        return new AclBinding(
            new ResourcePattern(ResourceType.TOPIC, topic, PatternType.LITERAL),
            new AccessControlEntry("User:" + user, "*", operation, AclPermissionType.ALLOW));
    }

    // ---- topics

    private Json createTopic(Options options) throws Exception {
        String name = options.name("topic");
        int partitions = (int) options.number("partitions", 1);
        Map<String, String> configs = options.takeConfigs();
        options.refuseUnused();
        NewTopic topic = new NewTopic(name, partitions, (short) 1).configs(configs);
        admin.createTopics(List.of(topic)).all().get();
        awaitPartitions(name, partitions);
        String id = describeTopic(name).topicId().toString();
        return new Json().put("topic", name).put("partitions", partitions).put("id", id);
    }

    private Json deleteTopic(Options options) throws Exception {
        String name = options.name("topic");
        admin.deleteTopics(List.of(name)).all().get();
        long deadline = System.currentTimeMillis() + TOPIC_MILLIS_MAX;
        while (true) {
            try {
                describeTopic(name);
            } catch (ExecutionException thrown) {
                if (thrown.getCause() instanceof UnknownTopicOrPartitionException) {
                    return new Json().put("topic", name);
                }
                throw thrown;
            }
            pauseBefore(deadline, "topic " + name + " is still there after its deletion");
        }
    }

    private Json configureTopic(Options options) throws Exception {
        String name = options.name("topic");
        Collection<AlterConfigOp> changes = new ArrayList<>();
        for (Map.Entry<String, String> entry : options.takeConfigs().entrySet()) {
            ConfigEntry config = new ConfigEntry(entry.getKey(), entry.getValue());
            changes.add(new AlterConfigOp(config, AlterConfigOp.OpType.SET));
        }
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, name);
        admin.incrementalAlterConfigs(Map.of(resource, changes)).all().get();
        return new Json().put("topic", name).put("changed", changes.size());
    }

    private Json addPartitions(Options options) throws Exception {
        String name = options.name("topic");
        int total = (int) options.number("total", -1);
        admin.createPartitions(Map.of(name, NewPartitions.increaseTo(total))).all().get();
        awaitPartitions(name, total);
        return new Json().put("topic", name).put("partitions", total);
    }

    private Json deleteRecords(Options options) throws Exception {
        TopicPartition place = new TopicPartition(options.name("topic"), (int) options.number("partition", 0));
        long before = options.number("before", -1);
        Map<TopicPartition, RecordsToDelete> what = Map.of(place, RecordsToDelete.beforeOffset(before));
        long low = admin.deleteRecords(what).lowWatermarks().get(place).get().lowWatermark();
        return new Json().put("topic", place.topic()).put("partition", place.partition()).put("low", low);
    }

    private Json describe(Options options) throws Exception {
        String name = options.name("topic");
        TopicDescription topic = describeTopic(name);
        List<Json> list = new ArrayList<>();
        for (TopicPartitionInfo info : topic.partitions()) {
            TopicPartition place = new TopicPartition(name, info.partition());
            list.add(new Json().put("partition", info.partition())
                .put("earliest", listOffset(place, OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED))
                .put("latest", listOffset(place, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED))
                .put("stable", listOffset(place, OffsetSpec.latest(), IsolationLevel.READ_COMMITTED)));
        }
        return new Json().put("topic", name).put("id", topic.topicId().toString()).put("partitions", list);
    }

    private long listOffset(TopicPartition place, OffsetSpec spec, IsolationLevel level) throws Exception {
        return admin.listOffsets(Map.of(place, spec), new ListOffsetsOptions(level)).all().get().get(place).offset();
    }

    private TopicDescription describeTopic(String name) throws Exception {
        return admin.describeTopics(List.of(name)).allTopicNames().get().get(name);
    }

    private void awaitPartitions(String name, int wanted) throws Exception {
        long deadline = System.currentTimeMillis() + TOPIC_MILLIS_MAX;
        while (true) {
            try {
                List<TopicPartitionInfo> seen = describeTopic(name).partitions();
                if (seen.size() == wanted && seen.stream().allMatch(p -> p.leader() != null && !p.leader().isEmpty())) {
                    return;
                }
            } catch (ExecutionException thrown) {
                if (!(thrown.getCause() instanceof UnknownTopicOrPartitionException)) {
                    throw thrown;
                }
            }
            pauseBefore(deadline, "topic " + name + " does not show " + wanted + " led partitions");
        }
    }

    private static void pauseBefore(long deadline, String problem) throws InterruptedException {
        if (System.currentTimeMillis() > deadline) {
            throw new IllegalStateException(problem);
        }
        Thread.sleep(20);
    }

    // ---- records

    private Json produce(Options options) throws Exception {
        String topic = options.name("topic");
        Recipe recipe = new Recipe(topic, options);
        long count = options.number("count", 1);
        Properties properties = producerProperties(recipe, options);
        options.refuseUnused();
        Sent sent = new Sent();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties)) {
            send(producer, recipe, count, "none", sent);
            producer.flush();
        }
        sent.rethrow();
        return new Json().put("topic", topic).put("count", count).put("next", recipe.next).put("partitions", sent.report());
    }

    private Json transactions(Options options) throws Exception {
        String topic = options.name("topic");
        Recipe recipe = new Recipe(topic, options);
        String[] pattern = options.text("pattern", "c1").split(",");
        long repeat = options.number("repeat", 1);
        String id = options.text("id", "s2x-" + UUID.randomUUID());
        Properties properties = producerProperties(recipe, options);
        properties.put("transactional.id", id);
        properties.put("transaction.timeout.ms", options.text("timeout", "60000"));
        options.refuseUnused();
        for (int at = 0; at < pattern.length; at++) {
            boolean last = at == pattern.length - 1 && repeat == 1;
            if (!pattern[at].matches(last ? "[cao][0-9]+" : "[ca][0-9]+")) {
                throw new IllegalArgumentException("pattern part " + pattern[at] + " is not c, a or (last only) o with a count");
            }
        }
        KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties);
        List<Json> report = new ArrayList<>();
        boolean left = false;
        try {
            producer.initTransactions();
            for (long round = 0; round < repeat; round++) {
                for (String part : pattern) {
                    Sent sent = new Sent();
                    left = transaction(producer, recipe, part, sent);
                    report.add(new Json().put("part", part).put("partitions", sent.report()));
                }
            }
        } finally {
            if (left) {
                open.put(id, producer);
            } else {
                producer.close();
            }
        }
        return new Json().put("topic", topic).put("id", id).put("next", recipe.next).put("transactions", report);
    }

    /** One transaction; true when it was left open. */
    private static boolean transaction(KafkaProducer<byte[], byte[]> producer, Recipe recipe, String part, Sent sent)
            throws Exception {
        long count = Long.parseLong(part.substring(1));
        producer.beginTransaction();
        switch (part.charAt(0)) {
            case 'c' -> {
                send(producer, recipe, count, "committed", sent);
                producer.commitTransaction();
            }
            case 'a' -> {
                send(producer, recipe, count, "aborted", sent);
                // An abort drops what was not sent yet; the log must hold these records.
                producer.flush();
                sent.rethrow();
                producer.abortTransaction();
            }
            default -> {
                send(producer, recipe, count, "open", sent);
                producer.flush();
                sent.rethrow();
                return true;
            }
        }
        sent.rethrow();
        return false;
    }

    private Json endTransaction(Options options) {
        String id = options.name("transactional id");
        String how = options.name("commit|abort");
        if (!how.equals("commit") && !how.equals("abort")) {
            throw new IllegalArgumentException("txn-end takes commit or abort, not " + how);
        }
        try (KafkaProducer<byte[], byte[]> producer = open.remove(id)) {
            if (producer == null) {
                throw new IllegalArgumentException("no open transaction " + id + " in this process");
            }
            if (how.equals("commit")) {
                producer.commitTransaction();
            } else {
                producer.abortTransaction();
            }
        }
        return new Json().put("id", id);
    }

    private static void send(KafkaProducer<byte[], byte[]> producer, Recipe recipe, long count, String txn, Sent sent)
            throws Exception {
        for (long made = 0; made < count; made++) {
            producer.send(recipe.make(txn), (metadata, problem) -> {
                if (problem == null) {
                    sent.add(metadata.partition(), metadata.offset());
                } else {
                    sent.problem.compareAndSet(null, problem);
                }
            });
            if (recipe.pauseMillis > 0) {
                Thread.sleep(recipe.pauseMillis);
            }
        }
    }

    private Json count(Options options) throws Exception {
        String topic = options.name("topic");
        long wanted = options.number("partition", -1);
        String isolation = options.text("isolation", "read_committed");
        long until = options.number("until", Long.MAX_VALUE);
        long deadline = System.currentTimeMillis() + options.number("wait", TOPIC_MILLIS_MAX);
        options.refuseUnused();
        List<TopicPartition> places = new ArrayList<>();
        for (TopicPartitionInfo info : describeTopic(topic).partitions()) {
            if (wanted < 0 || wanted == info.partition()) {
                places.add(new TopicPartition(topic, info.partition()));
            }
        }
        while (true) {
            Sent seen = new Sent();
            readAll(places, isolation, seen);
            if (seen.total() <= until) {
                return new Json().put("topic", topic).put("count", seen.total()).put("partitions", seen.report());
            }
            pauseBefore(deadline, "topic " + topic + " still has " + seen.total() + " records, more than " + until);
        }
    }

    private void readAll(List<TopicPartition> places, String isolation, Sent seen) {
        Properties properties = common();
        properties.put("key.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("value.deserializer", ByteArrayDeserializer.class.getName());
        properties.put("isolation.level", isolation);
        properties.put("enable.auto.commit", "false");
        properties.put("auto.offset.reset", "earliest");
        properties.put("fetch.max.wait.ms", "50");
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(properties)) {
            consumer.assign(places);
            consumer.seekToBeginning(places);
            Map<TopicPartition, Long> ends = consumer.endOffsets(places);
            while (places.stream().anyMatch(place -> consumer.position(place) < ends.get(place))) {
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    seen.add(record.partition(), record.offset());
                }
            }
        }
    }

    private Properties producerProperties(Recipe recipe, Options options) {
        Properties properties = common();
        long room = Math.max(1L << 20, recipe.bytes + (64L << 10));
        properties.put("key.serializer", ByteArraySerializer.class.getName());
        properties.put("value.serializer", ByteArraySerializer.class.getName());
        properties.put("acks", "all");
        properties.put("enable.idempotence", "true");
        properties.put("compression.type", options.text("codec", "none"));
        properties.put("linger.ms", options.text("linger", "5"));
        properties.put("batch.size", options.text("batch", "65536"));
        properties.put("max.request.size", Long.toString(room));
        properties.put("buffer.memory", Long.toString(Math.max(64L << 20, 4 * room)));
        return properties;
    }

    private Properties common() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        return properties;
    }

    /** What the next record looks like. */
    private static final class Recipe {
        final String topic;
        final String key;
        final String value;
        final String partition;
        final String headers;
        final long bytes;
        final long timestamp;
        final long step;
        final long pauseMillis;
        long next;

        Recipe(String topic, Options options) {
            this.topic = topic;
            this.next = options.number("start", 0);
            this.key = options.text("key", "seq");
            this.value = options.text("value", "json");
            this.partition = options.text("partition", "");
            this.headers = options.text("headers", "");
            this.bytes = options.number("size", 0);
            this.timestamp = options.number("timestamp", -1);
            this.step = options.number("step", 0);
            this.pauseMillis = options.number("pause", 0);
        }

        ProducerRecord<byte[], byte[]> make(String txn) {
            long n = next++;
            Integer place = null;
            if (partition.startsWith("rr:")) {
                place = (int) (n % Long.parseLong(partition.substring(3)));
            } else if (!partition.isEmpty()) {
                place = Integer.parseInt(partition);
            }
            Long time = timestamp < 0 ? null : Long.valueOf(timestamp + (n * step));
            byte[] keyBytes = key.startsWith("mod:")
                ? utf8("k-" + n % Long.parseLong(key.substring(4)))
                : key.equals("seq") ? utf8("k-" + n) : fixed(key, "key");
            byte[] valueBytes = value.equals("json") ? json(n, txn) : fixed(value, "value");
            ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(topic, place, time, keyBytes, valueBytes);
            for (String header : headers.isEmpty() ? new String[0] : headers.split(",")) {
                int colon = header.indexOf(':');
                String name = colon < 0 ? header : header.substring(0, colon);
                record.headers().add(name, colon < 0 ? null : utf8(header.substring(colon + 1)));
            }
            return record;
        }

        private byte[] json(long n, String txn) {
            String head = "{\"n\":" + n + ",\"txn\":\"" + txn + "\"";
            if (bytes == 0) {
                return utf8(head + "}");
            }
            String opening = head + ",\"pad\":\"";
            long pad = bytes - opening.length() - 2;
            if (pad < 0 || bytes > Integer.MAX_VALUE - 8) {
                throw new IllegalArgumentException("size=" + bytes + " is too small or too large for a record");
            }
            return utf8(opening + "x".repeat((int) pad) + "\"}");
        }

        private static byte[] fixed(String what, String which) {
            if (what.equals("null")) {
                return null;
            }
            if (what.equals("empty")) {
                return new byte[0];
            }
            if (what.startsWith("text:")) {
                return utf8(URLDecoder.decode(what.substring(5).replace("+", "%2B"), StandardCharsets.UTF_8));
            }
            throw new IllegalArgumentException(which + "=" + what + " is not known");
        }

        private static byte[] utf8(String text) {
            return text.getBytes(StandardCharsets.UTF_8);
        }
    }

    /** First and last offset and count per partition, filled by callbacks. */
    private static final class Sent {
        private final Map<Integer, long[]> places = new TreeMap<>();
        final AtomicReference<Exception> problem = new AtomicReference<>();

        synchronized void add(int partition, long offset) {
            long[] range = places.computeIfAbsent(partition, ignored -> new long[] {offset, offset, 0});
            range[0] = Math.min(range[0], offset);
            range[1] = Math.max(range[1], offset);
            range[2] += 1;
        }

        synchronized long total() {
            return places.values().stream().mapToLong(range -> range[2]).sum();
        }

        synchronized List<Json> report() {
            List<Json> list = new ArrayList<>();
            places.forEach((partition, range) -> list.add(new Json().put("partition", partition)
                .put("first", range[0]).put("last", range[1]).put("count", range[2])));
            return list;
        }

        void rethrow() throws Exception {
            if (problem.get() != null) {
                throw problem.get();
            }
        }
    }

    /** The words of a command; what nobody asked for is refused, so that a misspelt key is seen. */
    private static final class Options {
        private final Map<String, String> pairs = new LinkedHashMap<>();
        private final List<String> names = new ArrayList<>();

        Options(List<String> words) {
            for (String word : words) {
                int equals = word.indexOf('=');
                if (equals < 0) {
                    names.add(word);
                } else {
                    pairs.put(word.substring(0, equals), word.substring(equals + 1));
                }
            }
        }

        String name(String what) {
            if (names.isEmpty()) {
                throw new IllegalArgumentException("missing word: " + what);
            }
            return names.remove(0);
        }

        String text(String key, String otherwise) {
            String value = pairs.remove(key);
            return value == null ? otherwise : value;
        }

        long number(String key, long otherwise) {
            String value = pairs.remove(key);
            return value == null ? otherwise : Long.parseLong(value);
        }

        Map<String, String> takeConfigs() {
            Map<String, String> configs = new LinkedHashMap<>();
            pairs.forEach((key, value) -> {
                if (key.contains(".")) {
                    configs.put(key, value);
                }
            });
            pairs.keySet().removeAll(configs.keySet());
            return configs;
        }

        void refuseUnused() {
            if (!names.isEmpty() || !pairs.isEmpty()) {
                throw new IllegalArgumentException("not understood: " + names + " " + pairs);
            }
        }
    }

    /** Just enough JSON to answer with. */
    private static final class Json {
        private final StringBuilder text = new StringBuilder();

        Json put(String key, Object value) {
            text.append(text.length() == 0 ? "" : ",").append(quote(key)).append(':').append(shown(value));
            return this;
        }

        Json merge(Json other) {
            text.append(other.text.length() == 0 ? "" : ",").append(other.text);
            return this;
        }

        String end() {
            return "{" + text + "}";
        }

        private static String shown(Object value) {
            if (value instanceof Json json) {
                return json.end();
            }
            if (value instanceof List<?> list) {
                return "[" + String.join(",", list.stream().map(Json::shown).toList()) + "]";
            }
            return value instanceof String string ? quote(string) : String.valueOf(value);
        }

        private static String quote(String string) {
            StringBuilder quoted = new StringBuilder("\"");
            for (char c : string.toCharArray()) {
                if (c == '"' || c == '\\') {
                    quoted.append('\\').append(c);
                } else if (c < ' ') {
                    quoted.append(String.format("\\u%04x", (int) c));
                } else {
                    quoted.append(c);
                }
            }
            return quoted.append('"').toString();
        }
    }
}
