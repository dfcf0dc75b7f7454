//! The pipe between a database and an extractor.
