//! Call records: one line of JSON for each call that ends, kept for so many days.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use raceway_config::Cdr;
use serde::{Deserialize, Serialize};

use crate::admin::call::Call;

/// Records that wait to be written, about 4 KiB each: a disk that is slower than that loses some, which is counted.
const WAITING_MAX: usize = 4096;

/// Between two looks for lines that are too old.
const CLEAN_EVERY: Duration = Duration::from_secs(3600);

/// A call that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Unix time of its end.
    pub ended: u64,
    /// `deleted`, `timeout`, ...
    pub why: String,
    /// What it was.
    #[serde(flatten)]
    pub call: Call,
}

enum Message {
    Record(Box<Record>),
    /// The configuration is another one.
    Look,
}

/// What both ends know.
#[derive(Debug)]
struct Shared {
    config: Mutex<Cdr>,
    lost: AtomicU64,
}

impl Shared {
    fn config(&self) -> Cdr {
        self.config.lock().expect("nobody panics with it").clone()
    }
}

/// Takes records; cheap to clone.
#[derive(Clone, Debug)]
pub struct Book {
    to: SyncSender<Message>,
    shared: Arc<Shared>,
}

impl Book {
    /// Starts the thread that writes; it ends when the last `Book` is dropped.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn open(config: Cdr) -> io::Result<Self> {
        let (to, from) = sync_channel(WAITING_MAX);
        let shared = Arc::new(Shared { config: Mutex::new(config.clone()), lost: AtomicU64::new(0) });
        let writer = Writer { config, shared: Arc::clone(&shared), complained: false };
        std::thread::Builder::new().name("cdr".to_owned()).spawn(move || writer.run(&from))?;
        Ok(Self { to, shared })
    }

    /// Whether there is a file, so that a record is worth making.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shared.config.lock().expect("nobody panics with it").file.is_some()
    }

    /// Takes a record without waiting.
    pub fn write(&self, record: Record) {
        if self.to.try_send(Message::Record(Box::new(record))).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// From now on as `config` says.
    pub fn configure(&self, config: Cdr) {
        *self.shared.config.lock().expect("nobody panics with it") = config;
        // Where the queue is full the thread looks anyway.
        let _ = self.to.try_send(Message::Look);
    }

    /// Records that could not be written.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

struct Writer {
    config: Cdr,
    shared: Arc<Shared>,
    complained: bool,
}

impl Writer {
    fn run(mut self, from: &Receiver<Message>) {
        let mut clean_at = std::time::Instant::now();
        loop {
            if clean_at <= std::time::Instant::now() {
                self.clean();
                clean_at = std::time::Instant::now() + CLEAN_EVERY;
            }
            let message = from.recv_timeout(clean_at.saturating_duration_since(std::time::Instant::now()));
            let config = self.shared.config();
            if config != self.config {
                self.config = config;
                self.complained = false;
                clean_at = std::time::Instant::now();
            }
            match message {
                Ok(Message::Record(record)) => self.write(*record, from),
                Ok(Message::Look) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Writes a record and those that came meanwhile.
    fn write(&mut self, record: Record, from: &Receiver<Message>) {
        let Some(file) = self.config.file.clone() else { return };
        let mut lines = Vec::new();
        let mut next = Some(record);
        let mut count = 0;
        while let Some(record) = next.take() {
            count += 1;
            self.line(record, &mut lines);
            match from.try_recv() {
                Ok(Message::Record(record)) if count < WAITING_MAX as u64 => next = Some(*record),
                Ok(Message::Record(record)) => {
                    count += 1;
                    self.line(*record, &mut lines);
                }
                Ok(Message::Look) | Err(_) => {}
            }
        }
        if let Err(error) = append(&file).and_then(|mut file| file.write_all(&lines)) {
            self.shared.lost.fetch_add(count, Ordering::Relaxed);
            self.complain(&file, &error);
        }
    }

    fn line(&self, mut record: Record, lines: &mut Vec<u8>) {
        if self.config.redact {
            record.call = record.call.redacted();
        }
        serde_json::to_writer(&mut *lines, &record).expect("records have text keys, and a vector takes all");
        lines.push(b'\n');
    }

    fn clean(&mut self) {
        let Some(file) = self.config.file.clone() else { return };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let kept_from = now.saturating_sub(u64::from(self.config.retention_days) * 86_400);
        match clean(&file, kept_from) {
            Ok(0) => {}
            Ok(deleted) => tracing::info!(deleted, "call records older than [cdr] retention_days are deleted"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.complain(&file, &error),
        }
    }

    fn complain(&mut self, file: &Path, error: &io::Error) {
        if !std::mem::replace(&mut self.complained, true) {
            tracing::error!(file = %file.display(), %error, "call records are lost; [cdr] file must be writable by this account");
        }
    }
}

fn append(file: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(file)
}

/// Only what is needed to know how old a line is.
#[derive(Deserialize)]
struct Ended {
    ended: u64,
}

/// Deletes the lines of calls that ended before `kept_from`; how many. What is no record stays.
fn clean(file: &Path, kept_from: u64) -> io::Result<u64> {
    let old = |line: &[u8]| serde_json::from_slice::<Ended>(line).is_ok_and(|record| record.ended < kept_from);
    let lines = || -> io::Result<_> { Ok(BufReader::new(File::open(file)?).split(b'\n')) };
    // The file is in order, so that a look at the first line mostly is enough.
    match lines()?.next() {
        Some(Ok(first)) if old(&first) => {}
        Some(Err(error)) => return Err(error),
        Some(Ok(_)) | None => return Ok(0),
    }
    let rest = file.with_extension("new");
    let mut deleted = 0;
    let mut kept = BufWriter::new(OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&rest)?);
    for line in lines()? {
        let line = line?;
        if old(&line) {
            deleted += 1;
        } else {
            kept.write_all(&line)?;
            kept.write_all(b"\n")?;
        }
    }
    kept.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    std::fs::rename(&rest, file)?;
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Directory;

    fn record(call_id: &str, ended: u64) -> Record {
        let call = Call {
            call_id: call_id.to_owned(),
            session: 1,
            created: ended,
            age_s: 0,
            state: "answered".to_owned(),
            recording: None,
            recordings: Vec::new(),
            parties: Vec::new(),
        };
        Record { ended, why: "deleted".to_owned(), call }
    }

    fn wait_for(what: &str, done: impl Fn() -> bool) {
        let until = std::time::Instant::now() + Duration::from_secs(10);
        while !done() {
            assert!(std::time::Instant::now() < until, "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn lines(file: &Path) -> Vec<String> {
        std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_call_is_a_line_whose_parties_are_named_unless_redacted() {
        let directory = Directory::new("cdr");
        let file = directory.path().join("calls");
        let config = Cdr { file: Some(file.clone()), retention_days: 1, redact: false };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        let book = Book::open(config.clone()).expect("a thread");
        book.write(record("alice", now));
        wait_for("the line", || lines(&file).len() == 1);
        book.configure(Cdr { redact: true, ..config });
        book.write(record("bob", now));
        wait_for("the second line", || lines(&file).len() == 2);
        let lines = lines(&file);
        let first: Record = serde_json::from_str(&lines[0]).expect("JSON");
        assert_eq!(first, record("alice", now));
        assert!(lines[1].contains("\"call_id\":\"***\"") && !lines[1].contains("bob"), "{}", lines[1]);
        assert_eq!(book.lost(), 0);
    }

    #[test]
    fn a_record_is_worth_making_only_while_there_is_a_file() {
        let book = Book::open(Cdr { file: None, retention_days: 1, redact: false }).expect("a thread");
        assert!(!book.is_open());
        book.configure(Cdr { file: Some("/proc/nowhere/calls".into()), retention_days: 1, redact: false });
        assert!(book.is_open());
    }

    #[test]
    fn a_full_queue_does_not_hold_up_who_configures() {
        let (to, _nobody) = sync_channel(1);
        let config = Cdr { file: None, retention_days: 1, redact: false };
        let shared = Arc::new(Shared { config: Mutex::new(config.clone()), lost: AtomicU64::new(0) });
        let book = Book { to, shared };
        book.write(record("alice", 1));
        book.write(record("bob", 1));
        book.configure(Cdr { redact: true, ..config });
        assert_eq!((book.lost(), book.shared.config().redact), (1, true));
    }

    #[test]
    fn lines_are_deleted_when_they_are_too_old_and_others_stay() {
        let directory = Directory::new("cdr");
        let file = directory.path().join("calls");
        let mut text: Vec<String> =
            (1..=4).map(|n| serde_json::to_string(&record(&n.to_string(), n * 100)).expect("JSON")).collect();
        text.push("somebody's note".to_owned());
        std::fs::write(&file, text.join("\n")).expect("our directory");
        assert_eq!(clean(&file, 300).expect("readable"), 2);
        assert_eq!(lines(&file), text[2..]);
        assert_eq!(clean(&file, 300).expect("readable"), 0);
        assert!(!directory.path().join("calls.new").exists());
    }

    #[test]
    fn a_file_that_cannot_be_written_loses_records_and_counts_them() {
        let book = Book::open(Cdr { file: Some("/proc/nowhere/calls".into()), retention_days: 1, redact: false })
            .expect("a thread");
        book.write(record("alice", 1));
        wait_for("the count", || book.lost() == 1);
    }
}
