/** Scores with XGBoost's trees: all nodes in flat arrays, sums in float32 and in the trees' order, as XGBoost does. */

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;

final class Trees {
    private final float baseMargin;
    private final int[] roots;
    /** Every walk through a tree takes as many steps as the tree is deep: a loop that the processor can foresee. */
    private final int[] depths;
    /** A node's left child, with the right one just behind it; a leaf's is itself. */
    private final int[] left;
    private final int[] feature;
    /** Numbers from it on go right; a leaf's is NaN, so that none does and a walk that has arrived stays. */
    private final float[] threshold;
    private final boolean[] missingGoesLeft;
    private final float[] weight;

    private Trees(float baseMargin, JsonNode trees) {
        this.baseMargin = baseMargin;
        int nodes = 0;
        for (JsonNode tree : trees) {
            nodes += tree.get("left_children").size();
        }
        roots = new int[trees.size()];
        depths = new int[trees.size()];
        left = new int[nodes];
        feature = new int[nodes];
        threshold = new float[nodes];
        missingGoesLeft = new boolean[nodes];
        weight = new float[nodes];
        int next = 0;
        for (int i = 0; i < roots.length; i++) {
            roots[i] = next;
            next = lay(trees.get(i), i, next);
        }
    }

    /** Reads a model as `Booster.save_model("model.json")` writes it. */
    static Trees load(Path path) throws IOException {
        JsonNode learner = new ObjectMapper().readTree(path.toFile()).get("learner");
        JsonNode booster = learner.get("gradient_booster");
        String objective = learner.at("/objective/name").asText();
        if (!objective.equals("binary:logistic") || !booster.get("name").asText().equals("gbtree")) {
            throw new IOException("not a gbtree model with binary:logistic: " + path);
        }
        // A probability. XGBoost 3 writes a vector of them, "[5E-1]"; earlier ones wrote "5E-1".
        String baseScore = learner.at("/learner_model_param/base_score").asText().replaceAll("[\\[\\]]", "");
        double probability = Double.parseDouble(baseScore);
        return new Trees((float) Math.log(probability / (1 - probability)), booster.at("/model/trees"));
    }

    /** Lays a tree's nodes from `root` on, level by level: siblings are neighbours. Returns the next free place. */
    private int lay(JsonNode tree, int number, int root) {
        JsonNode lefts = tree.get("left_children");
        JsonNode rights = tree.get("right_children");
        int[] original = new int[lefts.size()];
        int[] depth = new int[lefts.size()];
        int laid = 1;
        for (int i = 0; i < laid; i++) {
            int node = original[i];
            int place = root + i;
            float condition = tree.get("split_conditions").get(node).floatValue();
            depths[number] = depth[i];
            if (lefts.get(node).intValue() < 0) {
                left[place] = place;
                threshold[place] = Float.NaN;
                missingGoesLeft[place] = true;
                weight[place] = condition;
                continue;
            }
            if (tree.get("split_type").get(node).intValue() != 0) {
                throw new IllegalArgumentException("categorical splits are not supported");
            }
            feature[place] = tree.get("split_indices").get(node).intValue();
            threshold[place] = condition;
            missingGoesLeft[place] = tree.get("default_left").get(node).intValue() != 0;
            left[place] = root + laid;
            for (JsonNode children : new JsonNode[] {lefts, rights}) {
                depth[laid] = depth[i] + 1;
                original[laid++] = children.get(node).intValue();
            }
        }
        return root + laid;
    }

    /** The probability of a default; NaN in a row is a missing number. */
    float probability(float[] row) {
        float margin = baseMargin;
        for (int tree = 0; tree < roots.length; tree++) {
            int node = roots[tree];
            for (int level = depths[tree]; level > 0; level--) {
                float number = row[feature[node]];
                if (number != number) {
                    node = left[node] + (missingGoesLeft[node] ? 0 : 1);
                } else {
                    node = left[node] + (number >= threshold[node] ? 1 : 0);
                }
            }
            margin += weight[node];
        }
        return (float) (1 / (1 + Math.exp(-margin)));
    }
}
