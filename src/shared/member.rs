//! A server among those that share an object store: it writes or follows, and changes from one to the other.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::board::Board;
use super::look::{Dating, Seen};
use super::notes::{FORMAT, TrainerNote, WriterNote, check_format};
use super::options::ObjectStoreOptions;
use super::part::{Change, Part};
use super::train::{HandingOver, Trained};
use super::{adopt, follow, holds, servers, sweep, train, upload_log, upload_models};
use crate::access::Keyring;
use crate::domain::{BoxError, Held};
use crate::engine::{Seats, wait_for};
use crate::host::{self, Host};
use crate::objects::{Bucket, Chair, Piece, Renewed};
use crate::telemetry::{Failing, version};

/// A server that shares an object store with others.
#[derive(Debug)]
pub struct Member {
    bucket: Bucket,
    options: ObjectStoreOptions,
    /// Whether it trains for the server that writes.
    is_trainer: bool,
    writing: Arc<Held>,
    training: Arc<Held>,
    chair: tokio::sync::Mutex<Chair>,
    board: Arc<Board>,
    /// What is seen of the server that writes.
    seen: watch::Sender<Option<Arc<Seen>>>,
    /// The keys and stores that the data folder remembers, as far as this process has noted them.
    remembered: Mutex<Option<Piece>>,
}

impl Member {
    /// Opens the object store that the options name. `is_trainer`: the server trains for the one that writes,
    /// and never writes itself. Call it within a tokio runtime.
    ///
    /// # Errors
    /// A sentence that names the setting.
    pub fn open(options: &ObjectStoreOptions, is_trainer: bool) -> Result<Self, String> {
        let bucket = Bucket::open(&options.url).map_err(|e| format!("object_store.url: {e}"))?;
        let lease = Duration::from_secs(options.lease_seconds);
        let writing = Arc::new(Held::default());
        let chair = Chair::new(bucket.clone(), lease, writing.clone());

        let note = WriterNote {
            format: FORMAT,
            version: version::VERSION.to_owned(),
            seat: chair.seat(0),
            address: options.advertise.clone(),
            server: None,
            stores: Default::default(),
        };
        let options = ObjectStoreOptions {
            may_write: options.may_write && !is_trainer,
            may_train: options.may_train || is_trainer,
            ..options.clone()
        };
        Ok(Self {
            bucket,
            options,
            is_trainer,
            writing,
            training: Arc::default(),
            chair: tokio::sync::Mutex::new(chair),
            board: Arc::new(Board::new(note)),
            seen: watch::Sender::new(None),
            remembered: Mutex::default(),
        })
    }

    fn every(&self) -> Duration {
        Duration::from_millis(self.options.every_ms)
    }

    fn keep(&self) -> Duration {
        Duration::from_secs(self.options.keep_seconds)
    }

    /// The leases of the server as this part.
    pub fn seats(&self, part: Part) -> Seats {
        let is_writer = part == Part::Writer;
        Seats {
            writing: is_writer.then(|| self.writing.clone()),
            training: (is_writer || self.is_trainer).then(|| self.training.clone()),
            acknowledges_uploaded: self.options.acknowledge_uploaded,
            hands_over: self.is_trainer,
        }
    }

    /// Passes on the address of the server that writes, whenever it changes; empty where it names none.
    pub async fn follow_address(&self, set: impl Fn(&str)) -> Infallible {
        let mut seen = self.seen.subscribe();
        let mut known = None;
        loop {
            let address = seen.borrow_and_update().as_ref().map(|seen| seen.note.address.clone());
            if known != address {
                set(address.as_deref().unwrap_or_default());
                known = address;
            }
            // The sender lives as long as this server.
            let _ = seen.changed().await;
        }
    }

    /// Decides what the server is when it starts on the folder `data`: it writes where no other does and its
    /// folder holds everything that was uploaded; otherwise it follows first, also where the object store is
    /// away, from what is in its folder.
    ///
    /// # Errors
    /// [`BoxError`] where what lies in the object store is of a newer version.
    pub async fn join(&self, data: &Path) -> Result<Part, BoxError> {
        let mut chair = self.chair.lock().await;
        let seen: Option<WriterNote> = match chair.look().await {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(%error, "the object store is not read yet");
                return Ok(Part::Follower);
            }
        };
        if let Some(seen) = &seen {
            check_format(seen)?;
        }
        let taken = self.join_as(&mut chair, seen, data).await;
        Ok(taken.unwrap_or_else(|error| {
            tracing::warn!(%error, "the object store fails");
            Part::Follower
        }))
    }

    async fn join_as(
        &self,
        chair: &mut Chair,
        seen: Option<WriterNote>,
        data: &Path,
    ) -> Result<Part, BoxError> {
        if !self.options.may_write {
            return Ok(Part::Follower);
        }
        let may_take = match &seen {
            Some(note) => {
                chair.is_free(&note.seat) && holds::on_disk(&self.bucket, data, note).await?
            }
            None => holds::warn_of_beginning(&self.bucket, data).map(|()| true)?,
        };
        if may_take { self.take(chair, seen, data).await } else { Ok(Part::Follower) }
    }

    /// Takes over the keys of the server that writes before anything is served, as far as they are known.
    pub async fn take_keys(&self, data: &Path, keys: &Arc<Keyring>) {
        let note = self.chair.lock().await.look::<WriterNote>().await;
        let taken = async {
            match note?.and_then(|note| note.server) {
                Some(piece) if !host::remembers(data, piece.checksum())? => {
                    servers::take_keys(&self.bucket, &piece, keys).await
                }
                _ => Ok(()),
            }
        };
        if let Err(error) = taken.await {
            tracing::warn!(%error, "the keys of the server that writes are not copied yet");
        }
    }

    /// Takes the seat of the writer, in the place of `before`.
    async fn take(
        &self,
        chair: &mut Chair,
        before: Option<WriterNote>,
        data: &Path,
    ) -> Result<Part, BoxError> {
        if before.as_ref().is_none_or(|note| note.server.is_none()) {
            // Until it has announced its keys, only this folder goes on from them. Whether the seat is taken is not
            // known yet: the name of the holder before stays.
            let holder = before.as_ref().map_or("", |note| &note.seat.holder);
            let names = format!("{} {holder}", chair.id());
            let data = data.to_owned();
            wait_for(move || host::remember(&data, &names)).await?;
        }

        let beat = before.as_ref().map_or(0, |note| note.seat.beat);
        let own = self.board.note();
        let before = before.unwrap_or_else(|| own.clone());
        let note = WriterNote {
            format: FORMAT,
            version: own.version,
            seat: chair.seat(beat),
            address: own.address,
            ..before
        };
        match chair.write(&note).await? {
            Renewed::Held => {
                tracing::info!(store = self.bucket.url(), "this server writes");
                self.board.replace(note);
                Ok(Part::Writer)
            }
            Renewed::Lost => Ok(Part::Follower),
        }
    }

    /// Renews the seat of the writer until another has it. It goes on while the stores are opened.
    pub async fn hold_seat(&self) {
        let mut chair = self.chair.lock().await;
        let lease = Duration::from_secs(self.options.lease_seconds);
        let every = self.every().min(lease / 5);
        let mut failing = Failing::new("the lease to write is not renewed");

        loop {
            tokio::time::sleep(every).await;
            let note = self.board.next();
            match chair.write(&note).await {
                Ok(Renewed::Held) => {
                    self.board.written(&note);
                    match self.remember(&note).await {
                        Ok(()) => failing.ended(""),
                        Err(error) => failing.again("", error.to_string()),
                    }
                }
                Ok(Renewed::Lost) => {
                    tracing::warn!("another server writes, or WRITER was deleted");
                    // The stores are closed now, and opened anew.
                    self.board.close();
                    return;
                }
                Err(error) => failing.again("", error.to_string()),
            }
        }
    }

    /// Remembers in the data folder which keys and stores a note that was written announces.
    async fn remember(&self, note: &WriterNote) -> Result<(), BoxError> {
        let Some((host, server)) = self.board.host().zip(note.server.clone()) else {
            return Ok(());
        };
        if self.remembered.lock().as_ref() == Some(&server) {
            return Ok(());
        }
        let name = server.checksum().to_owned();
        wait_for(move || host::remember(host.data(), &name)).await?;
        *self.remembered.lock() = Some(server);
        Ok(())
    }

    /// Uploads what was written last, once nothing is written any more.
    ///
    /// # Errors
    /// [`BoxError`] where the object store fails: the first failure; what else can be uploaded is.
    pub async fn finish(&self, host: &Arc<Host>, keys: &Arc<Keyring>) -> Result<(), BoxError> {
        let server = (host.clone(), keys.clone());
        let mut done = servers::upload_once(&self.bucket, &self.board, server, &mut None).await;
        for store in host.list().into_iter().filter_map(|listed| listed.store.ok()) {
            done = done.and(self.log_upload(store).finish().await);
        }
        done
    }

    /// Leaves the seat of the writer to others.
    ///
    /// # Errors
    /// [`BoxError`] where the object store fails: another server takes the seat once its lease has ended then.
    pub async fn leave_seat(&self) -> Result<(), BoxError> {
        let note = self.board.next();
        self.chair.lock().await.leave(note.clone()).await?;
        let remembered = self.remember(&note).await;
        self.board.close();
        remembered
    }

    fn log_upload(&self, store: Arc<crate::host::Hosted>) -> upload_log::LogUpload {
        upload_log::LogUpload::new(self.bucket.clone(), self.board.clone(), store, self.every())
    }

    /// Does what the writer does beside serving, as long as it is polled.
    pub async fn write(&self, host: Arc<Host>, keys: Arc<Keyring>) -> Infallible {
        self.board.open(&host);
        let (bucket, board, every) = (self.bucket.clone(), self.board.clone(), self.every());
        let mut beside = JoinSet::new();
        beside.spawn(servers::upload(bucket.clone(), board.clone(), (host.clone(), keys), every));
        beside.spawn(sweep::run(bucket.clone(), board.clone(), self.keep()));
        let adoption = adopt::Adoption {
            bucket: bucket.clone(),
            board: board.clone(),
            host: host.clone(),
            every,
        };
        beside.spawn(adoption.run());
        self.train(&mut beside, &host, Part::Writer);

        let keep = self.keep();
        let stores = servers::of_each_store(host, every, |store| {
            let log = self.log_upload(store.clone());
            let (bucket, board) = (bucket.clone(), board.clone());
            let models = upload_models::ModelUpload { bucket, board, store, every, keep };
            async move {
                tokio::join!(log.run(), models.run());
            }
        });
        match stores.await {}
    }

    /// Does what a follower does beside serving, until something changes for which the stores must be opened
    /// anew.
    pub async fn follow(&self, host: Arc<Host>, keys: Arc<Keyring>) -> Change {
        let (bucket, every) = (self.bucket.clone(), self.every());
        // What was seen before this server wrote is of no use.
        self.seen.send_replace(None);
        let mut beside = JoinSet::new();
        let copied = (host.clone(), keys);
        let (taking, taken) = watch::channel(false);
        beside.spawn(servers::follow(bucket.clone(), self.seen.subscribe(), copied, taking));
        self.train(&mut beside, &host, Part::Follower);

        let (is_apart, mut apart) = mpsc::unbounded_channel();
        let stores = async {
            // No copy is answered from before the keys are those of the server that writes.
            let _ = taken.clone().wait_for(|has_keys| *has_keys).await;
            let copy = |store| {
                follow::follow(bucket.clone(), store, self.seen.subscribe(), is_apart.clone())
            };
            servers::of_each_store(host.clone(), every, copy).await
        };
        tokio::select! {
            never = stores => match never {},
            () = self.watch(&host) => Change::Writes,
            Some(store) = apart.recv() => Change::Apart(store),
        }
    }

    /// Looks at the server that writes, again and again; completes once this one is it.
    async fn watch(&self, host: &Host) {
        let mut chair = self.chair.lock().await;
        let mut dating = Dating::default();
        let mut gone = None;
        let mut failing = Failing::new("this server does not find one that writes");

        loop {
            let began = Instant::now();
            let looked = match chair.look::<WriterNote>().await {
                Ok(Some(note)) => {
                    gone = None;
                    self.see(&mut chair, dating.date(note, began), host).await
                }
                Ok(None) => self.see_none(&mut chair, gone.get_or_insert(began), host).await,
                Err(error) => Err(error.into()),
            };
            match looked {
                Ok(Part::Writer) => return,
                Ok(Part::Follower) => failing.ended(""),
                Err(error) => failing.again("", error.to_string()),
            }
            tokio::time::sleep(self.every()).await;
        }
    }

    /// Takes the seat where it is free, and everything that was announced is here.
    async fn see(&self, chair: &mut Chair, seen: Arc<Seen>, host: &Host) -> Result<Part, BoxError> {
        check_format(&seen.note)?;
        self.seen.send_replace(Some(seen.clone()));
        if !self.options.may_write || !chair.is_free(&seen.note.seat) {
            return Ok(Part::Follower);
        }
        if self.holds(host, &seen.note).await? {
            return self.take(chair, Some(seen.note.clone()), host.data()).await;
        }
        Err("no server writes, and this one lacks something that the last one had: start that one again".into())
    }

    /// Whether this server has everything that a note announces.
    async fn holds(&self, host: &Host, note: &WriterNote) -> Result<bool, BoxError> {
        let (data, announced) = (host.data().to_owned(), note.clone());
        let has_server = wait_for(move || holds::server(&data, &announced)).await?;
        Ok(has_server && holds::open(&self.bucket, host, note).await?)
    }

    /// Takes the seat where there is none: at once where there never was one, as servers may be started in any
    /// order; otherwise once its lease must have ended, as whoever wrote last.
    async fn see_none(
        &self,
        chair: &mut Chair,
        since: &Instant,
        host: &Host,
    ) -> Result<Part, BoxError> {
        let before = self.seen.borrow().as_ref().map(|seen| seen.note.clone());
        let may_take = match &before {
            Some(note) => {
                since.elapsed() > Duration::from_millis(note.seat.lease_ms)
                    && self.holds(host, note).await?
            }
            None => true,
        };
        if self.options.may_write && may_take {
            return self.take(chair, before, host.data()).await;
        }
        Err("there is no WRITER: no server writes".into())
    }

    /// Takes part in training, where this server may.
    fn train(&self, beside: &mut JoinSet<()>, host: &Arc<Host>, part: Part) {
        if !self.options.may_train {
            return;
        }
        let lease = Duration::from_secs(self.options.lease_seconds);
        let every = self.every().min(lease / 5);
        let trained = Arc::new(Trained::default());
        if part == Part::Writer || self.is_trainer {
            let chair = Chair::new(self.bucket.clone(), lease, self.training.clone());
            beside.spawn(train::hold_seat(chair, trained.clone(), every));
        }
        if self.is_trainer {
            let handing = HandingOver {
                bucket: self.bucket.clone(),
                host: host.clone(),
                trained,
                notes: self.seen.subscribe(),
                every: self.every(),
                keep: self.keep(),
            };
            beside.spawn(handing.run());
        }
    }

    /// Leaves the seat of the trainer to others.
    pub async fn stop_training(&self) {
        if !self.training.holds() {
            return;
        }
        self.training.end();
        let lease = Duration::from_secs(self.options.lease_seconds);
        let mut chair = Chair::new(self.bucket.clone(), lease, Arc::default());
        let left = async {
            match chair.look::<TrainerNote>().await? {
                Some(note) => chair.leave(note).await,
                None => Ok(()),
            }
        };
        if let Err(error) = left.await {
            tracing::warn!(%error, "others train once the lease of this server has ended");
        }
    }
}
