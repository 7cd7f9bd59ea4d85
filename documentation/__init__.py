"""Generation of the documentation: the reference pages from the code, and the links of the site."""
