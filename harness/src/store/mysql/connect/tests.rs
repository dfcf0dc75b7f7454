//! Which database answers, by what it says of itself.

use super::*;

#[test]
fn the_database_is_known_by_what_it_says_of_itself() {
    let told =
        "SingleStoreDB source distribution (compatible; MySQL Enterprise & MySQL Commercial)";
    assert_eq!(dialect_of("5.7.32", told), Dialect::SingleStore);
    assert_eq!(dialect_of("5.5.58", "MemSQL source distribution"), Dialect::SingleStore);
    assert_eq!(dialect_of("10.11.19-MariaDB-0+deb12u1", "Debian 12"), Dialect::Mariadb);
    assert_eq!(dialect_of("8.0.44", "MySQL Community Server - GPL"), Dialect::Mysql);
}
