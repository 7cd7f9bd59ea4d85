"""The format of a bundle, and opening one: manifest, digests, golden examples, runners, signatures."""
