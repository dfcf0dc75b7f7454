//! The rules that make a load exactly once, each provoked on a real database.
//!
//! A test is named after its rule and says which line to take out to see it fail. Every test runs on SQLite; those
//! that can run on MariaDB do so where `MARIADB_URL` names a server (`mysql://root@127.0.0.1:3306/any`),
//! each in a fresh database that it drops.

mod bed;
mod e02;
mod e03;
mod e04;
mod e05;
mod e08;
mod e13;
mod e14;
mod fault;
