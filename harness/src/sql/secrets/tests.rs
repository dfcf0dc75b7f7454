//! The file of secrets: who may read it, what comes out of it again.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;

use std::sync::Arc;

use serde_json::Value;

use super::{Secrets, bind_older, folder, remove, store_name, sweep};
use crate::catalogue::Catalogue;
use crate::pipeline::{Document, Entry, OwnSecrets, Place};
use crate::store::StoreUrl;

const BINDING: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn e12_secrets_of_sql_are_in_a_file_that_only_its_owner_reads() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("a/b.secrets");
    let mut secrets = Secrets::in_folder(&place);
    let values =
        ["hunter2", " blanks \t= : # ! ", "line\none\r\n", "back\\slash\\u0041", "é${env:X}", ""];
    let references: Vec<String> =
        values.iter().map(|value| secrets.keep((*value).to_owned())).collect();
    assert!(!place.exists(), "nothing is made before it is written");
    let path = secrets.write(BINDING, &mut |_| Ok(())).unwrap().unwrap().path().to_owned();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(path.as_ref()), mode(&place)), (0o600, 0o700));
    assert!(secrets.write(BINDING, &mut |_| Ok(())).is_err(), "it is never written twice");
    let entry =
        |text: &String| Entry::new("k".to_owned(), Value::from(text.as_str()), Place::START);
    let document = Document {
        path: "p".to_owned(),
        config: references.iter().map(entry).collect(),
        credentials: Vec::new(),
        own_secrets: Some(OwnSecrets { file: path.clone(), binding: BINDING.to_owned() }),
    };
    let read = document.resolved(&|_| None::<OsString>).unwrap();
    let read: Vec<&str> = read.config.iter().map(|entry| entry.value.as_str().unwrap()).collect();
    assert_eq!(read, values);
    remove(&path).unwrap();
    remove(&path).unwrap();
    assert!(!std::path::Path::new(&path).exists());
}

#[test]
fn nothing_to_keep_makes_no_file() {
    let root = tempfile::tempdir().unwrap();
    assert!(Secrets::in_folder(root.path()).write(BINDING, &mut |_| Ok(())).unwrap().is_none());
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn too_much_is_refused_before_it_is_written() {
    let root = tempfile::tempdir().unwrap();
    let mut secrets = Secrets::in_folder(root.path());
    drop(secrets.keep("x".repeat(70_000)));
    assert!(
        secrets
            .write(BINDING, &mut |_| Ok(()))
            .err()
            .unwrap()
            .to_string()
            .contains("more than 65536")
    );
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn the_folder_is_the_named_one_or_beside_the_file_or_below_the_state() {
    let of = |url: &str, pairs: &[(&str, &str)]| {
        let env = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.into());
        folder(&url.parse().unwrap(), &env).map(|path| path.display().to_string())
    };
    let server = "mysql://root@h/d";
    assert_eq!(of("sqlite:/x/a.db", &[]).unwrap(), "/x/a.db.secrets");
    let below = |url: &str, folder: &str, pairs: &[(&str, &str)]| {
        let path = of(url, pairs).unwrap();
        let (parent, name) = path.rsplit_once('/').unwrap();
        assert!(parent == folder && name.len() == 16, "{path}");
        name.to_owned()
    };
    // Every store has its own, whoever its user is.
    let named = |url: &str| below(url, "/y", &[("S2X_SECRETS", "/y"), ("HOME", "/h")]);
    assert_ne!(named("sqlite:/x/a.db"), named("sqlite:/x/b.db"));
    let home = below(server, "/h/.local/state/s2x/secrets", &[("HOME", "/h")]);
    let state = [("HOME", "/h"), ("XDG_STATE_HOME", "/s")];
    assert_eq!(home, below("mariadb://app:pw@H:3306/d?load=insert", "/s/s2x/secrets", &state));
    assert_ne!(home, below("mysql://root@h/e", "/s/s2x/secrets", &state));
    assert!(of(server, &[]).unwrap_err().to_string().contains("set HOME, or S2X_SECRETS"));
    assert!(of("sqlite:/x/{a}.db", &[]).unwrap_err().to_string().contains("without braces"));
}

/// A file goes only when it is noted, nobody holds it, its name is one that this program gives, and it lies in
/// the folder of this store. Nothing else is even opened.
#[test]
fn only_what_is_noted_and_let_go_is_swept() {
    let root = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite { path: root.path().join("a.db") };
    let mut catalogue = Catalogue::open(Arc::new(url.clone())).unwrap();
    let of = store_name(&url);
    let env = |_: &str| None::<OsString>;
    let place = folder(&url, &env).unwrap();
    let mut make = |note: bool| {
        let mut secrets = Secrets::in_folder(&place);
        drop(secrets.keep("s".to_owned()));
        let kept = secrets.write(BINDING, &mut |path| match note {
            true => catalogue.note_secret_file(path, &of),
            false => Ok(()),
        });
        kept.unwrap().unwrap()
    };
    let (named, held, left) = (make(false), make(true), make(true));
    let paths = [&named, &held, &left].map(|kept| kept.path().to_owned());
    drop((named, left));
    let name = |digit: &str| format!("{}.properties", digit.repeat(32));
    let strange = [place.join("notes.properties"), root.path().join(name("a"))];
    for path in &strange {
        std::fs::write(path, "precious").unwrap();
        catalogue.note_secret_file(path.to_str().unwrap(), &of).unwrap();
    }
    // Opening it would wait for a writer.
    let pipe = place.join(name("b"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let linked = place.join(name("c"));
    std::os::unix::fs::symlink(&strange[0], &linked).unwrap();
    for path in [&pipe, &linked] {
        catalogue.note_secret_file(path.to_str().unwrap(), &of).unwrap();
    }
    catalogue.note_secret_file("/nowhere/0.properties", &of).unwrap();

    let copy = StoreUrl::Sqlite { path: root.path().join("copy.db") };
    sweep(&mut catalogue, &copy, &env).unwrap();
    let there = |path: &String| std::path::Path::new(path).exists();
    assert_eq!(paths.each_ref().map(there), [true, true, true], "noted for another store");
    sweep(&mut catalogue, &url, &env).unwrap();
    assert_eq!(paths.each_ref().map(there), [true, true, false]);
    drop(held);
    sweep(&mut catalogue, &url, &env).unwrap();
    assert_eq!(paths.each_ref().map(there), [true, false, false]);
    assert!(strange.iter().chain([&pipe, &linked]).all(|path| path.symlink_metadata().is_ok()));
    assert_eq!(catalogue.noted_secret_files(&of, None).unwrap().len(), 5);
}

/// A file without a line that says whose it is gets one, once, where it is this store's own and nobody drops the
/// pipeline meanwhile.
#[test]
fn files_of_older_programs_are_bound_once() {
    let root = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite { path: root.path().join("a.db") };
    let mut catalogue = Catalogue::open(Arc::new(url.clone())).unwrap();
    let env = |_: &str| None::<OsString>;
    let place = folder(&url, &env).unwrap();
    std::fs::create_dir(&place).unwrap();
    let file = |folder: &std::path::Path, digit: &str, text: &str| {
        let path = folder.join(format!("{}.properties", digit.repeat(32)));
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let large = format!("1={}\n", "x".repeat(65_500));
    let files = [
        file(&place, "a", "1=old\n"),
        file(&place, "b", &format!("1=new\n\ns2x.bound={BINDING}\n")),
        file(&place, "c", "1=cut\n\ns2x.bound=0011"),
        file(&place, "d", &large),
        file(root.path(), "e", "1=elsewhere\n"),
    ];
    let nobodys = file(&place, "f", "1=nobody's\n");
    for (name, path) in ["p", "q", "r", "s", "t"].iter().zip(&files) {
        let definition = format!(
            "{{\"version\":1,\"source\":\"CONNECTOR\",\"target\":\"{name}\",\"is_inferred\":true,\"config\":{{}},\
             \"credentials\":{{\"x\":\"${{file:{path}:1}}\"}},\"secrets_file\":\"{path}\",\"clauses\":{{}}}}"
        );
        let new = crate::catalogue::NewPipeline {
            name,
            config_json: "{}",
            credentials: Some(&definition),
            target_table: name,
            leaf_count: 1,
            tasks_max: 1,
        };
        catalogue.create_pipeline(&new).unwrap();
    }
    let texts = || files.each_ref().map(|path| std::fs::read_to_string(path).unwrap());
    let before = texts();
    bind_older(&mut catalogue, &url, &env).unwrap();
    let once = texts();
    let bound = once.each_ref().map(|text| crate::pipeline::bound_to(text).map(str::to_owned));
    assert!(bound[0].is_some() && bound[2].is_some() && bound[0] != bound[2]);
    assert!(once[0].starts_with("1=old\n") && once[2].starts_with(before[2].as_str()));
    assert_eq!(once[1], before[1], "what is bound stays");
    assert_eq!(once[3..], before[3..], "too large to be read then, and not of this store");
    assert_eq!(std::fs::read_to_string(&nobodys).unwrap(), "1=nobody's\n");
    bind_older(&mut catalogue, &url, &env).unwrap();
    assert_eq!(texts(), once);
}

/// However many notes are of files that are not here, those behind them are looked at.
#[test]
fn all_notes_are_gone_through() {
    let root = tempfile::tempdir().unwrap();
    let url = StoreUrl::Sqlite { path: root.path().join("a.db") };
    let mut catalogue = Catalogue::open(Arc::new(url.clone())).unwrap();
    let of = store_name(&url);
    let env = |_: &str| None::<OsString>;
    for number in 0..250 {
        catalogue.note_secret_file(&format!("/nowhere/{number:032x}.properties"), &of).unwrap();
    }
    let place = folder(&url, &env).unwrap();
    let paths: Vec<String> = (0..20)
        .map(|_| {
            let mut secrets = Secrets::in_folder(&place);
            drop(secrets.keep("s".to_owned()));
            let kept = secrets.write(BINDING, &mut |path| catalogue.note_secret_file(path, &of));
            kept.unwrap().unwrap().path().to_owned()
        })
        .collect();
    sweep(&mut catalogue, &url, &env).unwrap();
    let left = paths.iter().filter(|path| std::path::Path::new(path).exists()).count();
    assert_eq!(left, 0);
}
