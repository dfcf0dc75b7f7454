import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.Task;
import org.apache.kafka.connect.sink.SinkConnector;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.sink.SinkTask;

/**
 * A sink of Kafka Connect that throws records away, so that what is measured is Connect. After the
 * number of records that `count` names it prints one line of JSON and ends the process: seconds and
 * processor seconds since the first records came, so that the start of the JVM is not counted.
 */
public class DiscardSink extends SinkConnector {
    private Map<String, String> settings;

    @Override
    public void start(Map<String, String> given) {
        settings = given;
    }

    @Override
    public Class<? extends Task> taskClass() {
        return Discard.class;
    }

    @Override
    public List<Map<String, String>> taskConfigs(int maxTasks) {
        return List.of(settings);
    }

    @Override
    public void stop() {}

    @Override
    public ConfigDef config() {
        return new ConfigDef().define(
            "count", ConfigDef.Type.LONG, ConfigDef.Importance.HIGH, "records to end after");
    }

    @Override
    public String version() {
        return "1";
    }

    public static class Discard extends SinkTask {
        private final OperatingSystemMXBean system =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        private long count;
        private long seen;
        private long begun;
        private long cpu;

        @Override
        public void start(Map<String, String> settings) {
            count = Long.parseLong(settings.get("count"));
        }

        @Override
        public void put(Collection<SinkRecord> records) {
            if (records.isEmpty()) return;
            if (seen == 0) {
                begun = System.nanoTime();
                cpu = system.getProcessCpuTime();
            }
            seen += records.size();
            if (seen < count) return;
            double seconds = (System.nanoTime() - begun) / 1e9;
            double used = (system.getProcessCpuTime() - cpu) / 1e9;
            System.out.printf(
                java.util.Locale.ROOT,
                "{\"rows\": %d, \"seconds\": %.6f, \"cpu_seconds\": %.6f}%n", seen, seconds, used);
            System.out.flush();
            Runtime.getRuntime().halt(0);
        }

        @Override
        public void stop() {}

        @Override
        public String version() {
            return "1";
        }
    }
}
