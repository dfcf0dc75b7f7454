//! Tables as each database wants them spelt.

use super::*;

fn every_table() -> impl Iterator<Item = &'static str> {
    let versions: [&[&str]; 6] =
        [&VERSION_1, &VERSION_2, &VERSION_3, &VERSION_4, &VERSION_5, &VERSION_6];
    versions.into_iter().flatten().copied()
}

/// "SingleStore does not support unique keys unless the columns in the unique key are a superset of the columns
/// in the shard key" (its page on errors about unique keys); a primary key without a shard key is one.
#[test]
fn unique_keys_hold_the_shard_key_on_singlestore() {
    for template in every_table() {
        let ddl = spell(Dialect::SingleStore, template);
        assert!(ddl.starts_with("CREATE ROWSTORE TABLE IF NOT EXISTS s2x_"), "{ddl}");
        assert!(!ddl.contains('{') && !ddl.contains("ENGINE"), "{ddl}");
        let columns = |key: &str| {
            let (_, rest) = ddl.split_once(key)?;
            let (inside, _) = rest.split_once('(')?.1.split_once(')')?;
            Some(inside.split(", ").map(str::to_owned).collect::<Vec<_>>())
        };
        let single = ddl.matches("NOT NULL PRIMARY KEY").count();
        match columns("SHARD KEY ") {
            None => assert_eq!((single, ddl.contains("UNIQUE")), (1, false), "{ddl}"),
            Some(shard) => {
                assert_eq!(single, 0, "{ddl}");
                for key in ["PRIMARY KEY ", "UNIQUE KEY "] {
                    let holds = |columns: Vec<String>| shard.iter().all(|it| columns.contains(it));
                    assert!(columns(key).is_none_or(holds), "{key}: {ddl}");
                }
            }
        }
    }
}

#[test]
fn other_databases_keep_their_keys() {
    for dialect in [Dialect::Sqlite, Dialect::Mysql, Dialect::Mariadb] {
        for template in every_table() {
            let ddl = spell(dialect, template);
            assert!(ddl.starts_with("CREATE TABLE IF NOT EXISTS s2x_"), "{ddl}");
            assert!(!ddl.contains('{') && !ddl.contains("SHARD"), "{ddl}");
        }
        let pipelines = spell(dialect, VERSION_1[1]);
        assert!(pipelines.contains("pipeline_id BIGINT NOT NULL PRIMARY KEY,"), "{pipelines}");
        assert!(pipelines.contains(" NOT NULL UNIQUE,"), "{pipelines}");
    }
}
