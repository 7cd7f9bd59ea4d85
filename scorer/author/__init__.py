"""Making bundles: training, building, adopting models of other libraries, checking and comparing them."""
