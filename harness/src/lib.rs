//! Plays the database.
