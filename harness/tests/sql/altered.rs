//! ALTER PIPELINE that says several things: all of them are done, or nothing.

use crate::{Bench, create, skipped};

/// What a pipeline is, and where it stands.
fn standing(bench: &Bench) -> (String, Vec<String>) {
    let shown = bench.ask("SHOW CREATE PIPELINE p")[0]["Create Pipeline"].to_string();
    let offsets = bench.ask("SELECT key_text, value_text FROM s2x_offsets ORDER BY key_text");
    (shown, offsets.iter().map(ToString::to_string).collect())
}

/// A trigger stops the statement in the middle: the definition is written by then, and some or all of the offsets.
fn half_done(bench: &Bench, trigger: impl Fn(&str) -> String) {
    assert_eq!(bench.script(&create(""), &[]).code, 0);
    assert_eq!(bench.script("START PIPELINE p FOREGROUND", &[]).code, 0);
    let before = standing(bench);
    let alter = "ALTER PIPELINE p SET CONFIG ::test.rows = '300' SET BATCH_INTERVAL 70 SET OFFSETS EARLIEST";
    for moment in ["INSERT ON s2x_offset_history", "INSERT ON s2x_batches"] {
        let made = bench.script(&trigger(moment), &[]);
        assert_eq!(made.code, 0, "{}", made.err);
        let failed = bench.script(alter, &[]);
        assert_ne!(failed.code, 0, "{moment}: {}", failed.out);
        assert!(failed.err.contains("not now"), "{moment}: {}", failed.err);
        assert_eq!(standing(bench), before, "{moment}");
        assert_eq!(bench.script("DROP TRIGGER t", &[]).code, 0);
    }
    let done = bench.script(alter, &[]);
    assert!(done.out.contains("3 offsets are set"), "{} {}", done.out, done.err);
    let (shown, offsets) = standing(bench);
    assert!(shown.contains("BATCH_INTERVAL 70"), "{shown}");
    assert!(offsets.iter().all(|it| it.contains(r#"{\"row\":0}"#)), "{offsets:?}");
}

#[test]
fn what_one_alter_says_is_done_at_once_in_sqlite() {
    const NAME: &str = "what_one_alter_says_is_done_at_once_in_sqlite";
    let Some(bench) = Bench::new(NAME) else { return };
    half_done(&bench, |moment| {
        format!("CREATE TRIGGER t BEFORE {moment} BEGIN SELECT RAISE(ABORT, 'not now'); END")
    });
}

#[test]
fn what_one_alter_says_is_done_at_once_in_mariadb() {
    const NAME: &str = "what_one_alter_says_is_done_at_once_in_mariadb";
    let Some(mut bench) = Bench::new(NAME) else { return };
    let Ok(url) = std::env::var("MARIADB_URL") else {
        return skipped(NAME, "MARIADB_URL is not set");
    };
    let server = bench.on_server(&url);
    half_done(&bench, |moment| {
        format!(
            "CREATE TRIGGER t BEFORE {moment} FOR EACH ROW \
             SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not now'"
        )
    });
    bench.leave_server(server);
}
