//! Names of views in statements. Touches nothing.

use super::mapped;
use crate::sql::lex::{Rules, split};
use crate::store::Dialect;

fn check(script: &str, wanted: &str) {
    let pieces = split(script, Rules::Server).unwrap();
    assert_eq!(mapped(&pieces[0], Dialect::Mariadb, "shop"), wanted);
}

#[test]
fn the_documented_names_lead_to_the_views() {
    check(
        "SELECT STATE FROM information_schema.PIPELINES WHERE PIPELINE_NAME = 'p'",
        "SELECT STATE FROM `shop`.`PIPELINES` WHERE PIPELINE_NAME = 'p'",
    );
    check(
        "select * from Information_Schema . pipelines_source_offsets o",
        "select * from `shop`.`PIPELINES_SOURCE_OFFSETS` o",
    );
    check("SELECT `information_schema`.`PIPELINES`.STATE", "SELECT `shop`.`PIPELINES`.STATE");
    let pieces =
        split("SELECT 1; SELECT * FROM information_schema.PIPELINES", Rules::Sqlite).unwrap();
    assert_eq!(mapped(&pieces[1], Dialect::Sqlite, "main"), "SELECT * FROM \"main\".\"PIPELINES\"");
}

#[test]
fn everything_else_stays_to_the_byte() {
    for script in [
        "SELECT * FROM information_schema.tables",
        "SELECT 'information_schema.PIPELINES'",
        "SELECT  é, \"x\" -- information_schema.PIPELINES\n FROM PIPELINES",
        "SELECT information_schema . b",
    ] {
        check(script, script);
    }
}
