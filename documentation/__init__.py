"""The documentation's machinery: the reference, written from the code, and the links of the site."""
