"""The generated pages of the documentation, as code, and the links of the site."""
