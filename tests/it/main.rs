//! Everything that needs the whole: a real server on a real socket, real files,
//! real clients.

mod active;
mod audit;
mod backups;
#[cfg(all(feature = "kafka", feature = "object-store"))]
mod broker;
mod browsers;
mod catalog;
mod catalog_files;
mod checkpoints;
mod cli;
mod clock;
mod config;
mod contract;
mod crash;
mod cut_off;
mod decided;
mod disks;
mod doctor;
mod e2e;
mod evaluate;
mod experiments;
mod export;
mod faults;
mod files;
mod filters;
mod floods;
mod followers;
mod formats;
mod fresh;
mod fuzz;
mod gate;
mod golden;
mod guarded;
mod imports;
mod insight;
mod json;
mod json_strangers;
#[cfg(all(feature = "kafka", feature = "object-store"))]
mod kafka;
mod keys;
mod links;
mod malformed;
mod merchandise;
mod models;
mod observed;
mod outcomes;
mod parcel;
mod parquet_files;
mod placements;
mod privacy;
mod push;
mod python;
mod replays;
mod returns;
mod reviews;
mod rights;
mod rules;
mod segments;
mod sequences;
mod sharded;
#[cfg(feature = "object-store")]
mod shared;
#[cfg(feature = "object-store")]
mod shared_cut_off;
#[cfg(feature = "object-store")]
mod sharing;
mod soak;
mod spark;
mod storefront;
mod stores;
mod strangers;
mod support;
mod tidy;
mod tls;
mod unfinished;
mod unread;
