//! Plays the database.

pub mod catalogue;
pub mod child;
pub mod link;
pub mod pipeline;
pub mod run;
pub mod stage;
pub mod store;
pub mod transaction;
