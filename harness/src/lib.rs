//! Plays the database: runs pipelines, and loads rows and offsets in one transaction.

mod audit;
pub mod catalogue;
pub mod child;
pub mod cli;
pub mod conformance;
pub mod deadletter;
mod demo;
mod doctor;
pub mod exit;
mod import;
pub mod link;
mod metrics;
pub mod pipeline;
mod prompt;
pub mod report;
pub mod route;
pub mod run;
mod serve;
pub mod sql;
pub mod stage;
pub mod store;
pub mod transaction;
