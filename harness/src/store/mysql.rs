//! A MariaDB or MySQL server as a store.
//!
//! May touch: the `mysql` client.

use super::url::ServerAddress;
use super::*;

pub(super) struct MysqlStore;
impl MysqlStore {
    pub(super) fn open(_: &ServerAddress) -> Result<sqlite::SqliteStore, StoreError> {
        Err(StoreError::internal("not yet"))
    }
}
