//! Everything that needs the whole: a real server on a real socket, real files,
//! real clients.

mod catalog;
mod catalog_files;
mod cli;
mod clock;
mod config;
mod contract;
mod crash;
mod disks;
mod e2e;
mod evaluate;
mod export;
mod faults;
mod files;
mod filters;
mod fresh;
mod fuzz;
mod gate;
mod golden;
mod imports;
mod malformed;
mod models;
mod parcel;
mod parquet_files;
mod privacy;
mod push;
mod python;
mod soak;
mod strangers;
mod support;
mod tidy;
mod unread;
