//! Reads a source for a database.
