//! One measurement at a time on a machine: two that run at once measure each other.

use gguflab_engine::Stop;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait before asking again.
const PATIENCE: Duration = Duration::from_millis(100);

/// The right to measure on this machine, until it is dropped. The system takes it back when the process dies.
#[derive(Debug)]
pub struct Turn {
    _file: Option<File>,
}

/// The file by which measurements on this machine take turns, in the folder of what can be made again.
#[must_use]
pub fn file(cache: &Path) -> PathBuf {
    cache.join("machine.lock")
}

/// Takes the turn, waiting until it is free; `waiting` is called once when it is not. Where no file can be locked
/// there are no turns: measuring goes on without them. `None` when the user stopped it meanwhile.
pub fn take(file: Option<&Path>, stop: &Stop, waiting: &mut dyn FnMut()) -> Option<Turn> {
    let Some(file) = file.and_then(open) else { return Some(Turn { _file: None }) };
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Some(Turn { _file: Some(file) }),
            Err(TryLockError::Error(_)) => return Some(Turn { _file: None }),
            Err(TryLockError::WouldBlock) if stop.is_set() => return None,
            Err(TryLockError::WouldBlock) => {}
        }
        if !std::mem::replace(&mut told, true) {
            waiting();
        }
        std::thread::sleep(PATIENCE);
    }
}

fn open(path: &Path) -> Option<File> {
    std::fs::create_dir_all(path.parent()?).ok()?;
    OpenOptions::new().create(true).truncate(false).write(true).open(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_held_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made").join("machine.lock");
        let stop = Stop::default();
        let mut never = || panic!("nobody else has the turn");
        let first = take(Some(&path), &stop, &mut never).unwrap();
        stop.set();
        let mut waited = 0;
        // The stop ends the wait, so that the test does.
        assert!(take(Some(&path), &stop, &mut || waited += 1).is_none());
        drop(first);
        assert!(take(Some(&path), &stop, &mut never).is_some());
        assert!(take(None, &stop, &mut never).is_some());
        assert_eq!(waited, 0);
    }
}
