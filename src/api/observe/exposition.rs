//! The metrics of the server and of its stores, as a page for Prometheus. What is counted is read as
//! it stands; nothing is remembered between two pages.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tonic::Code;

use super::observer::Observer;
use super::page::Page;
use super::server_metrics::{Labels, method_name};
use crate::api::access::audited::code_name;
use crate::domain::EventKind;
use crate::engine::Intake;
use crate::engine::figures::{CopyFigures, SharedFigures, StoreFigures};
use crate::engine::stats::{Made, Outcome, Stats};
use crate::host::{Host, Hosted};
use crate::model::{Manifest, Source};
use crate::store::memory;
use crate::telemetry::{RequestCounts, version};

/// The page as text.
pub(super) fn text(host: &Arc<Host>, observer: &Arc<Observer>) -> String {
    let mut registry = Registry::with_prefix("qianmian");
    let host = host.clone();
    registry.register_collector(Box::new(Exposition { host, observer: observer.clone() }));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    text
}

#[derive(Debug)]
struct Exposition {
    host: Arc<Host>,
    observer: Arc<Observer>,
}

impl Collector for Exposition {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let mut page = Page(encoder);
        let open = self.open_stores(&mut page)?;
        self.server(&mut page, &open)?;
        writes(&mut page, &open)?;
        lists(&mut page, &open)?;
        trainings(&mut page, &open)?;
        models(&mut page, &open)?;
        sizes(&mut page, &open)?;
        replication(&mut page, &open)?;
        topics(&mut page, &open)
    }
}

/// An open store, and what was seen of it.
struct Open {
    store: Arc<Hosted>,
    figures: StoreFigures,
}

impl Open {
    fn labels(&self) -> Labels {
        vec![("store", self.store.name.clone())]
    }

    fn labelled(&self, name: &'static str, value: impl ToString) -> Labels {
        vec![("store", self.store.name.clone()), (name, value.to_string())]
    }

    /// The models with a role in serving, each with its labels.
    fn models(&self) -> impl Iterator<Item = (Labels, &Manifest)> {
        self.figures
            .models
            .iter()
            .map(|model| (self.labelled("role", model.role.name()), &model.manifest))
    }

    fn stats(&self) -> &Stats {
        self.store.engine.stats()
    }
}

impl Exposition {
    /// The open stores; notes which are not.
    fn open_stores(&self, page: &mut Page<'_>) -> Result<Vec<Open>, Error> {
        let listed = self.host.list();
        let is_open = listed.iter().map(|listed| {
            let labels = vec![("store", listed.name.clone())];
            (labels, f64::from(u8::from(listed.store.is_ok())))
        });
        page.gauge("store_open", "1 while the store is open, 0 where it did not open", is_open)?;

        let open = listed.into_iter().filter_map(|listed| listed.store.ok());
        Ok(open.map(|store| Open { figures: store.engine.figures(), store }).collect())
    }

    /// The server as a whole, and the requests to it.
    fn server(&self, page: &mut Page<'_>, open: &[Open]) -> Result<(), Error> {
        let metrics = &self.observer.metrics;
        let build = [("version", version::VERSION), ("commit", version::COMMIT)];
        let build: Labels = build.map(|(name, value)| (name, value.to_owned())).to_vec();
        page.gauge("build_info", "1; its labels say what was built", [(build, 1.0)])?;
        let uptime = metrics.started.elapsed().as_secs_f64();
        page.gauge("uptime_seconds", "Time since the server started", [(vec![], uptime)])?;

        let of_stores = open.iter().flat_map(|open| requests(&open.store.counts));
        let all = requests(&metrics.of_no_store).chain(of_stores);
        page.counter("requests", "Ended requests by method, code and store", all)?;
        let latency = metrics.latency.iter().enumerate().map(|(number, seconds)| {
            (vec![("method", method_name(number).to_owned())], seconds.clone())
        });
        page.histogram(
            "request_duration_seconds",
            "From a request's arrival to its answer",
            latency,
        )?;

        let in_flight = [(vec![], metrics.in_flight.get() as f64)];
        page.gauge("requests_in_flight", "Requests that are not answered yet", in_flight)?;
        let help = "Requests refused or failed, by the reason in their status";
        page.counter("requests_failed", help, metrics.failures())?;
        let waiting = [(vec![], self.host.waiting_requests() as f64)];
        page.gauge("lists_waiting", "Lists that wait for a request thread or run on one", waiting)?;

        let resident = memory::resident().map(|bytes| (vec![], bytes as f64));
        page.gauge("resident_memory_bytes", "Memory of the process", resident)
    }
}

/// The requests of one store.
fn requests(counts: &RequestCounts) -> impl Iterator<Item = (Labels, u64)> {
    counts.all().map(|(method, code, count)| {
        let code = code_name(Code::from_i32(code as i32));
        let method = method_name(method).to_owned();
        let store = counts.store.clone();
        (vec![("method", method), ("code", code), ("store", store)], count)
    })
}

fn writes(page: &mut Page<'_>, open: &[Open]) -> Result<(), Error> {
    let events = open.iter().flat_map(|open| {
        let of_kind = |kind: EventKind| {
            let count = open.stats().events[kind as usize].get();
            (open.labelled("kind", kind.name()), count)
        };
        EventKind::ALL.map(of_kind)
    });
    page.counter("events", "Recorded events by kind", events)?;
    let duplicates = open.iter().map(|open| (open.labels(), open.stats().duplicates.get()));
    page.counter("events_duplicate", "Events left out as retries, by their id", duplicates)?;

    let effect = open.iter().map(|open| (open.labels(), open.stats().effect.clone()));
    let help = "From the arrival of a write until the next list follows it";
    page.histogram("event_to_effect_seconds", help, effect)?;
    let flush = open.iter().map(|open| (open.labels(), open.stats().flush.clone()));
    page.histogram("log_flush_seconds", "One flush of the log to disk", flush)?;

    let of = |figure: fn(&StoreFigures) -> f64| {
        open.iter().map(move |open| (open.labels(), figure(&open.figures)))
    };
    page.gauge("log_offset", "Records of the log", of(|seen| seen.offset as f64))?;
    page.gauge("log_bytes", "Bytes of the log on disk", of(|seen| seen.log_bytes as f64))?;
    page.gauge("log_segments", "Files of the log", of(|seen| seen.log_segments as f64))?;
    let damaged =
        open.iter().map(|open| (open.labels(), f64::from(u8::from(open.stats().is_log_damaged()))));
    let help = "1 once damage is found in the part of the log before the checkpoint";
    page.gauge("log_damaged", help, damaged)?;
    page.gauge(
        "writes_accepted",
        "1 while writes are accepted, 0 after a failed flush",
        of(|seen| f64::from(u8::from(seen.takes_writes))),
    )?;
    page.gauge(
        "writes_waiting_bytes",
        "Bytes of writes that wait",
        of(|s| s.waiting_bytes as f64),
    )?;
    let disk = open.iter().filter_map(|open| Some((open.labels(), open.figures.disk_free? as f64)));
    page.gauge("disk_free_bytes", "Bytes that are free on the disk of the log", disk)?;
    let backups = open.iter().filter_map(|open| {
        let seconds = open.figures.backup_ms? as f64 / 1e3;
        Some((open.labels(), seconds))
    });
    page.gauge("backup_last_success_timestamp_seconds", "Time of the last backup", backups)
}

fn lists(page: &mut Page<'_>, open: &[Open]) -> Result<(), Error> {
    let made = open.iter().flat_map(|open| {
        Made::ALL.map(|made| {
            (open.labelled("made", made.name()), open.stats().lists[made as usize].get())
        })
    });
    page.counter("lists", "Personalised lists by how they were made", made)?;
    let shown = open.iter().map(|open| (open.labels(), open.stats().exposures.get()));
    page.counter("exposures", "Answers recorded as shown", shown)?;
    let lost = open.iter().map(|open| (open.labels(), open.stats().exposures_lost.get()));
    let help = "Answers not recorded as shown: the queue was full, or a write failed";
    page.counter("exposures_lost", help, lost)?;

    let candidates = open.iter().flat_map(|open| {
        let proposed = open.stats().candidates.iter().zip(Source::BLENDED);
        proposed.map(|(count, source)| (open.labelled("source", source.name()), count.get()))
    });
    page.counter("candidates", "Candidates proposed to blended lists, by source", candidates)
}

fn trainings(page: &mut Page<'_>, open: &[Open]) -> Result<(), Error> {
    let ended = open.iter().flat_map(|open| {
        Outcome::ALL.map(|outcome| {
            let count = open.stats().trainings[outcome as usize].get();
            (open.labelled("outcome", outcome.name()), count)
        })
    });
    page.counter("trainings", "Ended trainings by outcome", ended)?;

    let running = open.iter().map(|open| (open.labels(), open.figures.trainings as f64));
    page.gauge("trainings_pending", "Trainings that run or wait for their turn", running)?;
    let success = open.iter().filter(|open| open.figures.trained_ms > 0);
    let success = success.map(|open| (open.labels(), open.figures.trained_ms as f64 / 1e3));
    let help = "Time of the last training that published a model";
    page.gauge("training_last_success_timestamp_seconds", help, success)?;

    let active = || open.iter().filter_map(|open| Some((open, open.figures.models.first()?)));
    let seconds = active().map(|(open, model)| (open.labels(), model.manifest.train_seconds));
    page.gauge("training_seconds", "Length of the active model's training", seconds)?;
    let stages = active().flat_map(|(open, model)| {
        let stages = model.manifest.stages.iter();
        stages.map(|(stage, seconds)| (open.labelled("stage", stage.replace(' ', "_")), *seconds))
    });
    page.gauge("training_stage_seconds", "Stages of the active model's training", stages)
}

fn models(page: &mut Page<'_>, open: &[Open]) -> Result<(), Error> {
    let all = || open.iter().flat_map(Open::models);
    let generations = all().map(|(labels, manifest)| (labels, manifest.generation as f64));
    page.gauge("model_generation", "Generation of the model with a role", generations)?;
    let created = all().map(|(labels, manifest)| (labels, manifest.created_ms as f64 / 1e3));
    page.gauge("model_created_timestamp_seconds", "End of the model's training", created)?;
    let bytes = all().map(|(labels, manifest)| (labels, manifest.bytes as f64));
    page.gauge("model_bytes", "Size of the model", bytes)?;

    let quality = all().flat_map(|(labels, manifest)| {
        let measures = manifest.quality.iter();
        measures.map(move |(name, value)| {
            (labels.iter().cloned().chain([("measure", name.clone())]).collect(), *value)
        })
    });
    page.gauge("model_quality", "Measured quality of the model, by measure", quality)?;
    let recall = all()
        .filter_map(|(labels, manifest)| Some((labels, *manifest.quality.get("ann_recall@10")?)));
    let help = "Recall at 10 of the nearest-neighbour graph; none where all embeddings are scanned";
    page.gauge("model_ann_recall", help, recall)?;

    let behind = open.iter().filter_map(|open| {
        let trained = open.figures.models.first()?.manifest.offset;
        Some((open.labels(), open.figures.offset.saturating_sub(trained) as f64))
    });
    page.gauge("model_behind_records", "Records since the active model's training", behind)
}

fn sizes(page: &mut Page<'_>, open: &[Open]) -> Result<(), Error> {
    let of = |figure: fn(&StoreFigures) -> u64| {
        open.iter().map(move |open| (open.labels(), figure(&open.figures) as f64))
    };
    page.gauge("users", "Users ever named", of(|seen| seen.users))?;
    page.gauge("items", "Items ever named", of(|seen| seen.items))?;
    let memory = open.iter().flat_map(|open| {
        let parts = open.figures.memory.iter();
        parts.map(|(part, bytes)| (open.labelled("part", part), *bytes as f64))
    });
    page.gauge("memory_bytes", "Memory by part, as estimated from numbers", memory)
}

fn replication(page: &mut Page<'_>, open: &[Open]) -> Result<(), Error> {
    let of = |figure: fn(&StoreFigures) -> f64| {
        open.iter().map(move |open| (open.labels(), figure(&open.figures)))
    };
    page.gauge("followers", "Followers that hold a lease", of(|seen| seen.followers as f64))?;
    page.gauge(
        "followers_behind_records",
        "Records that the slowest of them did not have when it asked",
        of(|seen| seen.followers_behind as f64),
    )?;

    let of_shared = |figure: fn(&SharedFigures) -> f64| {
        let shared =
            move |open: &Open| Some((open.labels(), figure(open.figures.shared.as_ref()?)));
        open.iter().filter_map(shared).collect::<Vec<_>>().into_iter()
    };
    page.gauge(
        "write_leased",
        "1 while this server holds the lease to write that the object store grants",
        of_shared(|shared| f64::from(u8::from(shared.may_write))),
    )?;
    let help = "Records that are not in the object store yet";
    page.gauge("upload_behind_records", help, of_shared(|shared| shared.behind as f64))?;

    let of_copy = |figure: fn(&CopyFigures) -> f64| {
        let copy = move |open: &Open| Some((open.labels(), figure(open.figures.copy.as_ref()?)));
        open.iter().filter_map(copy).collect::<Vec<_>>().into_iter()
    };
    page.gauge(
        "copy_leased",
        "1 while a store that follows another answers users, 0 without a lease",
        of_copy(|copy| f64::from(u8::from(copy.is_leased))),
    )?;
    let help = "Time since the last lease was asked for";
    page.gauge("copy_age_seconds", help, of_copy(|copy| copy.age.as_secs_f64()))?;
    let help = "Records of the followed log that were not here when it was last heard from";
    page.gauge("copy_behind_records", help, of_copy(|copy| copy.behind as f64))
}

fn topics(page: &mut Page<'_>, open: &[Open]) -> Result<(), Error> {
    let behind = open.iter().flat_map(|open| {
        open.figures.topics_behind.iter().map(|((topic, partition), messages)| {
            let mut labels = open.labelled("topic", topic);
            labels.push(("partition", partition.to_string()));
            (labels, *messages as f64)
        })
    });
    page.gauge("topic_behind_messages", "Messages that are not taken in yet", behind)?;

    let taking = || open.iter().filter(|open| open.store.engine.intake().is_on());
    let count =
        |open: &Open, of: fn(&Intake) -> u64| (open.labels(), of(open.store.engine.intake()));
    let reading = taking().map(|open| {
        let is_reading = open.store.engine.intake().is_reading();
        (open.labels(), f64::from(u8::from(is_reading)))
    });
    page.gauge("topics_read", "1 while topics are read, 0 while they cannot be", reading)?;
    let messages = taking().map(|open| count(open, |intake| intake.messages.get()));
    page.counter("topic_messages", "Messages taken in or refused", messages)?;
    let refused = taking().map(|open| count(open, |intake| intake.refused.get()));
    page.counter("topic_messages_refused", "Messages refused", refused)
}
