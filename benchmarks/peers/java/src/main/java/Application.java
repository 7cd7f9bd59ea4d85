/** An application as the model sees it: its id, and its row of the matrix. */
record Application(String id, float[] row) {}
