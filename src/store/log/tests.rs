//! The log after power loss, damage and lost files.

use super::*;
use std::fs::File;

use crate::store::record::Record;
use crate::store::replay;

const ROUNDS: u128 = 40;

/// Options of a log without files.
fn first() -> Opening {
    Opening {
        durability: Durability::PowerLoss,
        segment_bytes: 400,
        proven: false,
        ..Opening::default()
    }
}

fn again() -> Opening {
    Opening { proven: true, ..first() }
}

/// Writes `ROUNDS` acknowledged batches of two records, in segments small enough for several files.
fn written(folder: &Path) {
    let mut log = Log::open(folder, first(), &mut |_| {}).unwrap();
    for round in 0..ROUNDS {
        let mut block = BlockBuilder::default();
        block.define_user(&format!("user-{round}"));
        block.push(&Record::Imported(2 * round));
        block.push(&Record::Imported(2 * round + 1));
        log.append(&block).unwrap();
        log.commit().unwrap();
    }
}

fn open(folder: &Path) -> Result<(Log, Vec<u128>), StoreError> {
    let proven = crate::store::ledger::path(folder).exists();
    open_as(folder, if proven { again() } else { first() })
}

fn open_as(folder: &Path, opening: Opening) -> Result<(Log, Vec<u128>), StoreError> {
    let mut seen = Vec::new();
    let log = Log::open(folder, opening, &mut |entry| {
        if let Entry::Record(_, Record::Imported(n)) = entry {
            seen.push(n);
        }
    })?;
    Ok((log, seen))
}

/// Resets the mark to what was acknowledged before the last batch.
fn before_the_last(folder: &Path) {
    let mut mark = Mark::open(folder).unwrap();
    let offset = 2 * ROUNDS as Offset - 2;
    mark.set(Acknowledged { offset, ordered: true }).unwrap();
}

fn last_file(folder: &Path) -> PathBuf {
    segment::list(folder).unwrap().pop().unwrap().1
}

fn all() -> Vec<u128> {
    (0..2 * ROUNDS).collect()
}

#[test]
fn everything_comes_back_in_order_and_writing_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    assert!(segment::list(dir.path()).unwrap().len() > 3);
    let (mut log, seen) = open(dir.path()).unwrap();
    assert_eq!(seen, all());
    let mut block = BlockBuilder::default();
    block.push(&Record::Imported(999));
    assert_eq!(log.append(&block).unwrap(), 80);
    log.commit().unwrap();

    let mut until_80 = 0;
    replay(dir.path(), 80, &mut |e| until_80 += i32::from(matches!(e, Entry::Record(..)))).unwrap();
    assert_eq!(until_80, 80);
    drop(log);
    assert_eq!(open(dir.path()).unwrap().1.last(), Some(&999));
}

#[test]
fn a_flipped_byte_anywhere_is_an_error_and_never_silence() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    for (_, path) in segment::list(dir.path()).unwrap() {
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            std::fs::write(&path, &bad).unwrap();
            let error = open(dir.path()).map(|(_, seen)| seen.len()).unwrap_err();
            assert!(error.to_string().contains("the log is damaged"), "{error}");
        }
        std::fs::write(&path, &good).unwrap();
    }
    assert_eq!(open(dir.path()).unwrap().1, all());
}

#[test]
fn a_torn_tail_is_cut_to_the_last_whole_batch() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());

    let path = last_file(dir.path());
    let good = std::fs::read(&path).unwrap();
    let mut torn = 0;
    let mut refused = 0;
    for len in 0..good.len() {
        std::fs::write(&path, &good[..len]).unwrap();
        before_the_last(dir.path());
        match open(dir.path()) {
            Ok((log, seen)) => {
                drop(log);
                torn += 1;
                assert_eq!(seen, all()[..78], "at {len}");
                // The log is whole again: opening it a second time finds the same.
                assert_eq!(open(dir.path()).unwrap().1, seen);
            }
            Err(error) => {
                refused += 1;
                let said = error.to_string();
                let lost = said.contains("cut short") || said.contains("held records up to 78");
                assert!(lost, "at {len}: {said}");
            }
        }
    }
    assert!(torn > 30 && refused > 30, "{torn} {refused}");
}

/// Overwrites sectors of the last batch, which fills several, with zeros.
#[test]
fn zeros_that_power_loss_leaves_are_a_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let wide = Opening { segment_bytes: 1 << 20, ..first() };

    let mut log = Log::open(dir.path(), wide, &mut |_| {}).unwrap();
    let begins = |log: &Log| log.open.bytes as usize;
    let mut last_begins = 0;
    for round in 0..ROUNDS {
        let mut block = BlockBuilder::default();
        // Names that do not compress make the block long.
        for name in 0..200 {
            block.define_user(&uuid::Uuid::now_v7().to_string().repeat(1 + name % 2));
        }
        block.push(&Record::Imported(2 * round));
        block.push(&Record::Imported(2 * round + 1));
        last_begins = begins(&log);
        log.append(&block).unwrap();
        log.commit().unwrap();
    }

    drop(log);
    let path = last_file(dir.path());
    let good = std::fs::read(&path).unwrap();
    let sectors = last_begins / 512..good.len().div_ceil(512);
    assert!(sectors.len() > 3, "{sectors:?}");

    for sector in sectors {
        let mut bad = good.clone();
        let hole = (sector * 512).max(last_begins)..((sector + 1) * 512).min(good.len());
        bad[hole].fill(0);
        std::fs::write(&path, &bad).unwrap();

        // Damage to acknowledged records is reported.
        let error = open_as(dir.path(), again()).map(drop).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{sector}: {error}");

        // Unacknowledged records are torn.
        before_the_last(dir.path());
        assert_eq!(open_as(dir.path(), again()).unwrap().1, all()[..78], "{sector}");
        std::fs::write(&path, &good).unwrap();
        drop(open_as(dir.path(), again()).unwrap());
    }

    // A hole before a whole batch proves that the one with the hole was flushed.
    let mut bad = good.clone();
    bad[1_024..1_536].fill(0);
    std::fs::write(&path, &bad).unwrap();
    let mut mark = Mark::open(dir.path()).unwrap();
    mark.set(Acknowledged { offset: 0, ordered: true }).unwrap();
    assert!(open_as(dir.path(), again()).is_err());
    mark.set(Acknowledged { offset: 0, ordered: false }).unwrap();
    assert_eq!(open_as(dir.path(), again()).unwrap().1, [0u128; 0]);
}

#[test]
fn a_tail_of_zeros_beyond_the_mark_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());
    let path = last_file(dir.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(&[0; 700]);
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(open(dir.path()).unwrap().1, all());
}

/// Any file of the log: the first, one in the middle, the last, all; emptied or removed.
#[test]
fn a_log_that_lost_a_file_says_so() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path());

    let files: Vec<PathBuf> =
        segment::list(dir.path()).unwrap().into_iter().map(|(_, path)| path).collect();
    let names = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let beside = [crate::store::ledger::path(dir.path()), mark::path(dir.path())];
    for path in files.iter().chain(&beside) {
        let good = std::fs::read(path).unwrap();
        std::fs::remove_file(path).unwrap();
        let gone = open_as(dir.path(), again()).map(drop).unwrap_err().to_string();
        assert!(gone.contains(&names(path)), "{gone}");
        assert!(!path.exists(), "nothing is changed");
        std::fs::write(path, "").unwrap();
        let emptied = open_as(dir.path(), again()).map(drop).unwrap_err().to_string();
        assert!(emptied.contains(&names(path)), "{emptied}");
        std::fs::write(path, &good).unwrap();
    }

    let goods: Vec<Vec<u8>> = files.iter().map(|path| std::fs::read(path).unwrap()).collect();
    files.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    assert!(open_as(dir.path(), again()).is_err());
    files.iter().zip(&goods).for_each(|(path, good)| std::fs::write(path, good).unwrap());
    assert_eq!(open_as(dir.path(), again()).unwrap().1, all());
}

/// Names after a lost file keep their idx: no user gets another's records.
#[test]
fn going_on_without_a_lost_file_keeps_every_idx_and_offset() {
    for lost in [0, 1, usize::MAX] {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path());
        let entries = |opening| {
            let mut entries = Vec::new();
            let log = Log::open(dir.path(), opening, &mut |e| entries.push(format!("{e:?}")));
            log.map(|log| (log.next_offset(), entries))
        };

        let (_, before) = entries(again()).unwrap();
        let mut files = segment::list(dir.path()).unwrap();
        let (base, path) = files.remove(lost.min(files.len() - 1));
        std::fs::remove_file(path).unwrap();

        assert!(entries(again()).is_err());
        let (end, after) = entries(Opening { accept_loss: true, ..again() }).unwrap();
        assert_eq!(end, if lost == usize::MAX { base } else { 2 * ROUNDS as Offset });
        assert_eq!(after.len(), before.len() - 3 * (2 * ROUNDS as usize - end as usize) / 2);

        for (before, after) in before.iter().zip(&after) {
            let gone = after.contains("Gone") || after.contains("User(\"\")");
            assert!(before == after || gone, "{before} {after}");
        }

        // It is whole from now on.
        assert_eq!(entries(again()).unwrap(), (end, after));
    }
}

#[test]
fn records_of_names_that_are_nowhere_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path(), first(), &mut |_| {}).unwrap();
    let mut block = BlockBuilder::default();
    block.push(&Record::Erased(0, 1));
    log.append(&block).unwrap();
    log.commit().unwrap();
    drop(log);
    let error = open(dir.path()).map(drop).unwrap_err().to_string();
    assert!(error.contains("named nowhere before it"), "{error}");
}

#[test]
fn a_log_that_is_replaced_or_opened_twice_takes_no_more_writes() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path()).unwrap();
    assert!(matches!(open(dir.path()).map(drop), Err(StoreError::InUse { .. })));
    let mut block = BlockBuilder::default();
    block.push(&Record::Imported(1));
    log.append(&block).unwrap();
    log.commit().unwrap();

    let path = last_file(dir.path());
    std::fs::copy(&path, dir.path().join("copy")).unwrap();
    std::fs::rename(dir.path().join("copy"), &path).unwrap();
    log.append(&block).unwrap();
    assert!(matches!(log.commit(), Err(StoreError::Removed { .. })));
    assert!(matches!(log.append(&block), Err(StoreError::Poisoned(_))));
}

#[test]
fn a_segment_that_cannot_begin_leaves_the_open_one_to_go_on_in() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path()).unwrap();
    let block = |n| {
        let mut block = BlockBuilder::default();
        block.push(&Record::Imported(n));
        block
    };

    log.append(&block(1)).unwrap();
    let folder = std::mem::replace(&mut log.folder, dir.path().join("not there"));
    assert!(log.roll().is_err());
    log.folder = folder;
    log.append(&block(2)).unwrap();
    log.roll().unwrap();
    log.append(&block(3)).unwrap();
    log.commit().unwrap();
    drop(log);
    assert_eq!(segment::list(dir.path()).unwrap().len(), 2);
    assert_eq!(open(dir.path()).unwrap().1, [1, 2, 3]);
}

#[test]
fn a_write_that_cannot_be_taken_back_stops_all_later_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, _) = open(dir.path()).unwrap();
    let mut block = BlockBuilder::default();
    block.push(&Record::Imported(1));
    log.append(&block).unwrap();
    log.commit().unwrap();

    // A read-only handle, which can be neither written nor truncated, stands in for the disk.
    let read_only = File::open(&log.open.path).unwrap();
    let real = std::mem::replace(&mut log.open.file, read_only);
    let refused = log.append(&block).unwrap_err();
    assert!(refused.to_string().starts_with("write to"), "{refused}");
    log.open.file = real;
    assert!(matches!(log.append(&block), Err(StoreError::Poisoned(_))));
    drop(log);
    assert_eq!(open(dir.path()).unwrap().1, [1]);
}

/// A copy taken while the log is written to: first the list and the mark, then the files.
#[test]
fn a_copy_taken_in_order_beside_the_writer_opens() {
    let dir = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    written(dir.path());
    let (mut log, _) = open(dir.path()).unwrap();
    let take = |path: PathBuf| std::fs::copy(&path, copy.path().join(path.file_name().unwrap()));
    take(ledger::path(dir.path())).unwrap();
    take(mark::path(dir.path())).unwrap();

    for round in 0..30 {
        let mut block = BlockBuilder::default();
        block.push(&Record::Imported(900 + round));
        log.append(&block).unwrap();
        log.commit().unwrap();
    }

    for (_, path) in segment::list(dir.path()).unwrap() {
        take(path).unwrap();
    }
    assert_eq!(open(copy.path()).unwrap().1.len(), 110);
}
