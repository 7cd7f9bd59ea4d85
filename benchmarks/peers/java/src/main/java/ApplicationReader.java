/** Makes rows of the matrix out of applications in JSON, with Jackson's streaming parser. */

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

final class ApplicationReader {
    private static final String ID = "application_id";
    private static final String MARITAL = "marital";
    private static final List<String> NUMBERS = List.of("seniority", "time", "age", "expenses", "amount", "price");
    private static final List<String> NUMBERS_OR_NULL = List.of("income", "assets", "debt");
    private static final List<String> CATEGORIES = List.of("home", "records", "job");

    private enum Kind { TEXT, NUMBER, NUMBER_OR_NULL, CATEGORY }

    /**
     * A field that is read.
     *
     * @param bit its own among the fields
     * @param column where its number goes; -1: nowhere
     * @param categories where a 1 goes, by the field's value
     */
    private record Field(Kind kind, int bit, int column, Map<String, Integer> categories) {}

    private final JsonFactory json = new JsonFactory();
    private final Map<String, Field> fields = new HashMap<>();
    private final int width;
    private final int required;

    ApplicationReader(List<String> columns) {
        width = columns.size();
        add(ID, Kind.TEXT, columns);
        NUMBERS.forEach(name -> add(name, Kind.NUMBER, columns));
        CATEGORIES.forEach(name -> add(name, Kind.CATEGORY, columns));
        required = (1 << fields.size()) - 1;
        NUMBERS_OR_NULL.forEach(name -> add(name, Kind.NUMBER_OR_NULL, columns));
        add(MARITAL, Kind.CATEGORY, columns);
    }

    private void add(String name, Kind kind, List<String> columns) {
        Map<String, Integer> categories = new HashMap<>();
        for (int i = 0; i < columns.size(); i++) {
            if (columns.get(i).startsWith(name + "=")) {
                categories.put(columns.get(i).substring(name.length() + 1), i);
            }
        }
        fields.put(name, new Field(kind, 1 << fields.size(), columns.indexOf(name), categories));
    }

    /**
     * Reads an application.
     *
     * @throws IOException it is no JSON object, lacks a field or has one of a wrong type
     */
    Application read(byte[] value) throws IOException {
        float[] row = new float[width];
        String id = null;
        int seen = 0;
        try (JsonParser parser = json.createParser(value)) {
            expect(parser.nextToken() == JsonToken.START_OBJECT, "an object", parser);
            for (String name = parser.nextFieldName(); name != null; name = parser.nextFieldName()) {
                JsonToken token = parser.nextToken();
                Field field = fields.get(name);
                if (field == null) {
                    parser.skipChildren();
                    continue;
                }
                seen |= field.bit;
                switch (field.kind) {
                    case TEXT -> {
                        expect(token == JsonToken.VALUE_STRING, "a string", parser);
                        id = parser.getText();
                    }
                    case CATEGORY -> {
                        expect(token == JsonToken.VALUE_STRING, "a string", parser);
                        mark(row, field, parser.getText());
                    }
                    case NUMBER, NUMBER_OR_NULL -> {
                        if (token != JsonToken.VALUE_NULL || field.kind == Kind.NUMBER) {
                            expect(token.isNumeric(), "a number", parser);
                            float number = (float) parser.getDoubleValue();
                            if (field.column >= 0) {
                                row[field.column] = number;
                            }
                        }
                    }
                }
            }
            expect((seen & required) == required, "all fields", parser);
        }
        Field marital = fields.get(MARITAL);
        if ((seen & marital.bit) == 0) {
            mark(row, marital, "unk");
        }
        return new Application(id, row);
    }

    private static void mark(float[] row, Field field, String category) {
        Integer column = field.categories.get(category);
        if (column != null) {
            row[column] = 1;
        }
    }

    private static void expect(boolean found, String what, JsonParser parser) throws JsonParseException {
        if (!found) {
            throw new JsonParseException(parser, "expected " + what);
        }
    }
}
