/** The one argument of a peer: what to read, where to write, and what to score with. */

import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.annotation.JsonNaming;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

@JsonNaming(PropertyNamingStrategies.SnakeCaseStrategy.class)
record Job(
        String bootstrapServers,
        String groupId,
        String applicationsTopic,
        String decisionsTopic,
        String delivery,
        Path modelJson,
        List<String> columns,
        double maybeAbove,
        double declinedAbove,
        Integer batch) {

    /** Reads the command line; members that a peer has no use for are left alone. */
    static Job of(String[] arguments) throws IOException {
        return JsonMapper.builder()
                .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
                .build()
                .readValue(arguments[0], Job.class);
    }

    boolean exactlyOnce() {
        return delivery.equals("exactly-once");
    }
}
