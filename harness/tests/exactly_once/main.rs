//! The rules that make a load exactly once, each provoked on a real database.
//!
//! A test is named after its rule and says which line to take out to see it fail. Every test runs on SQLite; those
//! that can run on MariaDB do so where `MARIADB_URL` names a server (`mysql://root@127.0.0.1:3306/any`),
//! each in a fresh database that it drops. What runs on every store runs on the double of SingleStore as well.

// `cfg(test)` tells the lints that helpers here are test code as well.
#[cfg(test)]
mod bed;
#[cfg(test)]
mod e02;
#[cfg(test)]
mod e03;
#[cfg(test)]
mod e04;
#[cfg(test)]
mod e05;
#[cfg(test)]
mod e08;
#[cfg(test)]
mod e13;
#[cfg(test)]
mod e14;
#[cfg(test)]
mod fault;
#[cfg(test)]
mod server;
#[cfg(test)]
mod singlestore;
