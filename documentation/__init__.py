"""The generated pages and pictures of the documentation, as code, and the links of the site."""
