//! Checks the state file and the guards of the folder.

use super::*;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn sample() -> State {
    let mut state = State::default();
    let process = Identity { pid: 1, start_ticks: u64::MAX, boot_id: "b".to_owned() };
    let kafka = Service {
        ports: vec![20_001, 20_002],
        args: vec!["log.segment.bytes=1048576".to_owned()],
        process: Some(process),
        started_at: 1_700_000_000,
        ready_ms: Some(4_200),
    };
    let mariadb = Service { ports: vec![20_003], process: None, ready_ms: None, ..kafka.clone() };
    state.services.insert(Name::Kafka, kafka);
    state.services.insert(Name::Mariadb, mariadb);
    state
}

#[test]
fn state_survives_a_round_trip() {
    let scratch = Scratch::new("state");
    let folder = Folder::at(&scratch.0.join("services")).unwrap();
    assert!(!folder.is_used());
    assert_eq!(folder.load().unwrap(), State::default());
    folder.create().unwrap();
    let _lock = folder.lock().unwrap();
    folder.save(&sample()).unwrap();
    assert_eq!(folder.load().unwrap(), sample());
    assert_eq!(folder.load().unwrap().ports(), BTreeSet::from([20_001, 20_002, 20_003]));
    assert!(folder.is_used());
}

#[test]
fn the_folder_is_private() {
    let scratch = Scratch::new("private");
    let path = scratch.0.join("services");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Folder::at(&path).unwrap().create().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_folder_with_other_files_is_refused_and_left_alone() {
    let scratch = Scratch::new("foreign");
    fs::write(scratch.0.join("letter"), "dear").unwrap();
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o755)).unwrap();
    let error = Folder::at(&scratch.0).unwrap().create().unwrap_err().to_string();
    assert!(error.contains("--dir"), "{error}");
    assert_eq!(fs::metadata(&scratch.0).unwrap().mode() & 0o777, 0o755);
}

#[test]
fn clear_removes_data_and_state_and_keeps_logs() {
    let scratch = Scratch::new("clear");
    let folder = Folder::at(&scratch.0.join("services")).unwrap();
    folder.create().unwrap();
    let _lock = folder.lock().unwrap();
    folder.save(&sample()).unwrap();
    fs::create_dir_all(folder.service(Name::Mariadb).join("data")).unwrap();
    fs::write(folder.log(Name::Mariadb), "line").unwrap();
    folder.clear().unwrap();
    folder.clear().unwrap();
    assert_eq!(folder.load().unwrap(), State::default());
    assert!(!folder.service(Name::Mariadb).exists());
    assert!(folder.log(Name::Mariadb).exists());
}

#[test]
fn a_damaged_state_file_is_an_error_that_names_it() {
    let scratch = Scratch::new("damaged");
    let folder = Folder::at(&scratch.0.join("services")).unwrap();
    folder.create().unwrap();
    let check = |text: &str, expected: &str| {
        fs::write(folder.state_path(), text).unwrap();
        let error = format!("{:#}", folder.load().unwrap_err());
        assert!(error.contains("state.json") && error.contains(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    };
    check("", "EOF");
    check("{\"version\":1,\"services\":{\"oracle\":{}}}", "unknown variant");
    check("{\"version\":2,\"services\":{}}", "version 2");
    check(&" ".repeat(usize::try_from(STATE_BYTES_MAX).unwrap() + 1), "too large");
}
