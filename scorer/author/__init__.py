"""Making bundles: training, building, importing models, checking and comparing them."""
