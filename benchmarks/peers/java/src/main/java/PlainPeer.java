/** A plain consumer and producer with scoring between: decisions are confirmed first, offsets committed after. */

import java.io.IOException;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.Callback;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public final class PlainPeer {
    private static final Duration POLL = Duration.ofMillis(100);

    private final Job job;
    private final Scorer scorer;
    private final KafkaConsumer<byte[], byte[]> consumer;
    private final KafkaProducer<byte[], byte[]> producer;
    private final AtomicReference<Exception> undelivered = new AtomicReference<>();
    private final Callback onDelivery = (metadata, error) -> {
        if (error != null) {
            undelivered.compareAndSet(null, error);
        }
    };
    private volatile boolean stopping;

    private PlainPeer(Job job) throws IOException {
        this.job = job;
        scorer = new Scorer(job, Trees.load(job.modelJson()));
        consumer = new KafkaConsumer<>(consumerConfig(job), new ByteArrayDeserializer(), new ByteArrayDeserializer());
        producer = new KafkaProducer<>(producerConfig(job), new ByteArraySerializer(), new ByteArraySerializer());
    }

    public static void main(String[] arguments) throws IOException {
        PlainPeer peer = new PlainPeer(Job.of(arguments));
        Thread worker = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> peer.stop(worker)));
        peer.run();
    }

    private static Map<String, Object> consumerConfig(Job job) {
        int batch = job.batch() != null ? job.batch() : job.exactlyOnce() ? 20_000 : 5_000;
        return Map.of(
                ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, job.bootstrapServers(),
                ConsumerConfig.GROUP_ID_CONFIG, job.groupId(),
                ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest",
                ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false,
                ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed",
                ConsumerConfig.MAX_POLL_RECORDS_CONFIG, batch);
    }

    private static Map<String, Object> producerConfig(Job job) {
        Map<String, Object> config = new HashMap<>(Map.of(
                ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, job.bootstrapServers(),
                ProducerConfig.ACKS_CONFIG, "all",
                ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true,
                ProducerConfig.BATCH_SIZE_CONFIG, 131_072,
                ProducerConfig.LINGER_MS_CONFIG, 10,
                ProducerConfig.COMPRESSION_TYPE_CONFIG, "lz4"));
        if (job.exactlyOnce()) {
            config.put(ProducerConfig.TRANSACTIONAL_ID_CONFIG, job.groupId() + "-" + UUID.randomUUID());
        }
        return config;
    }

    private void run() throws IOException {
        try (consumer; producer) {
            if (job.exactlyOnce()) {
                producer.initTransactions();
            }
            consumer.subscribe(List.of(job.applicationsTopic()));
            while (!stopping) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(POLL);
                if (records.isEmpty()) {
                    continue;
                }
                if (job.exactlyOnce()) {
                    workExactlyOnce(records);
                } else {
                    workAtLeastOnce(records);
                }
            }
        }
    }

    private void workAtLeastOnce(ConsumerRecords<byte[], byte[]> records) throws IOException {
        publish(records);
        producer.flush();
        if (undelivered.get() != null) {
            throw new KafkaException("a decision was not delivered", undelivered.get());
        }
        try {
            consumer.commitSync(records.nextOffsets());
        } catch (CommitFailedException | RebalanceInProgressException moved) {
            // The partitions' next owner reads these records again.
        }
    }

    private void workExactlyOnce(ConsumerRecords<byte[], byte[]> records) throws IOException {
        producer.beginTransaction();
        publish(records);
        try {
            producer.sendOffsetsToTransaction(records.nextOffsets(), consumer.groupMetadata());
        } catch (CommitFailedException moved) {
            producer.abortTransaction();
            rewind();
            return;
        }
        producer.commitTransaction();
    }

    private void publish(ConsumerRecords<byte[], byte[]> records) throws IOException {
        for (ConsumerRecord<byte[], byte[]> record : records) {
            byte[] decision = scorer.decide(record.value());
            if (decision != null) {
                producer.send(new ProducerRecord<>(job.decisionsTopic(), record.key(), decision), onDelivery);
            }
        }
    }

    /** Goes back to what is committed, as a transaction that was aborted asks for. */
    private void rewind() {
        Map<TopicPartition, OffsetAndMetadata> committed = consumer.committed(consumer.assignment());
        committed.forEach((partition, offset) -> {
            if (offset == null) {
                consumer.seekToBeginning(List.of(partition));
            } else {
                consumer.seek(partition, offset);
            }
        });
    }

    /** Lets the worker finish what it has polled, and leave the group. */
    private void stop(Thread worker) {
        stopping = true;
        try {
            worker.join();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
