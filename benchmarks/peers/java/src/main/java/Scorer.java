/** An application's bytes in, its decision's bytes out. One for each thread. */

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.SerializableString;
import com.fasterxml.jackson.core.StreamWriteFeature;
import com.fasterxml.jackson.core.io.SerializedString;
import java.io.ByteArrayOutputStream;
import java.io.IOException;

final class Scorer {
    private static final SerializableString ID = new SerializedString("application_id");
    private static final SerializableString DECISION = new SerializedString("decision");
    private static final SerializableString PROBABILITY = new SerializedString("probability_of_default");

    private final JsonFactory json =
            JsonFactory.builder().enable(StreamWriteFeature.USE_FAST_DOUBLE_WRITER).build();
    private final ByteArrayOutputStream written = new ByteArrayOutputStream(256);
    private final ApplicationReader reader;
    private final Trees trees;
    private final Job job;

    Scorer(Job job, Trees trees) {
        this.job = job;
        this.trees = trees;
        reader = new ApplicationReader(job.columns());
    }

    /** The decision on an application; null if that is none. */
    byte[] decide(byte[] value) throws IOException {
        Application application;
        try {
            if (value == null) {
                return null;
            }
            application = reader.read(value);
        } catch (IOException notAnApplication) {
            return null;
        }
        float probability = trees.probability(application.row());
        written.reset();
        try (JsonGenerator generator = json.createGenerator(written)) {
            generator.writeStartObject();
            generator.writeFieldName(ID);
            generator.writeString(application.id());
            generator.writeFieldName(DECISION);
            generator.writeString(decision(probability));
            generator.writeFieldName(PROBABILITY);
            generator.writeNumber(probability);
            generator.writeEndObject();
        }
        return written.toByteArray();
    }

    private String decision(double probability) {
        if (probability > job.declinedAbove()) {
            return "DECLINED";
        }
        return probability > job.maybeAbove() ? "MAYBE" : "APPROVED";
    }
}
