"""The promises of a Link, tested on the fake and on a real broker."""
