//! Plays the database.

pub mod catalogue;
pub mod run;
pub mod store;
pub mod transaction;
