//! Plays the database.

pub mod catalogue;
pub mod exit;
pub mod pipeline;
pub mod report;
pub mod run;
pub mod store;
pub mod transaction;
