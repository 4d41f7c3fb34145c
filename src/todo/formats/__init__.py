"""The file formats of export and import: pure functions on bytes, without I/O, a clock or randomness."""
