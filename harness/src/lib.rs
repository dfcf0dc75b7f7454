//! Plays the database.

pub mod catalogue;
pub mod store;
pub mod transaction;
