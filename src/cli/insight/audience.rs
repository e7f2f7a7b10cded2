//! `qianmian insight segments`, `audience` and `contacted`: whom to send something.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{said, show};
use crate::api::wire::pb;
use crate::cli::backend::Backend;
use crate::cli::{Failure, output};

/// Users of one request of contacts.
const CONTACTS: usize = 10_000;
/// Users that are printed where no file is named.
const PRINTED: usize = 20;

/// Whom to send an offer.
#[derive(Debug, Args)]
pub(super) struct Audience {
    /// An item of the offer; may be repeated
    #[arg(long = "item", value_name = "ID")]
    items: Vec<String>,
    /// The items of this category, and of those below it
    #[arg(long, conflicts_with = "items")]
    category: Option<String>,
    /// The share of the price that is given away: 0 to less than 1
    #[arg(long, default_value_t = 0.0)]
    discount: f64,
    /// Only users in this saved segment; may be repeated, for those in any of them
    #[arg(long = "segment", value_name = "NAME")]
    segments: Vec<String>,
    /// No users in this saved segment; may be repeated
    #[arg(long = "except", value_name = "NAME")]
    except: Vec<String>,
    /// Leave out users who were contacted within this number of days
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    not_contacted: u32,
    /// The coming days in which orders count, 1 to 366
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=366))]
    days: u32,
    /// Maximum number of users, 1 to 1,000,000
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max: u32,
    /// Write all users to this CSV file; otherwise the first 20 are printed
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Audience {
    pub(super) async fn run(self, backend: &Backend) -> Result<(), Failure> {
        let category = pb::condition::Kind::Category(self.category.clone().unwrap_or_default());
        let condition = self.category.map(|_| pb::Condition { kind: Some(category) });
        let has_offer = condition.is_some() || !self.items.is_empty();
        let items =
            pb::ItemSelection { item_ids: self.items, condition, ..pb::ItemSelection::default() };
        let offer = pb::AudienceOffer { items: Some(items), discount: self.discount };
        let request = pb::ExportAudienceRequest {
            offer: has_offer.then_some(offer),
            segments: self.segments,
            except_segments: self.except,
            not_contacted_days: self.not_contacted,
            days: self.days,
            max_users: self.max,
        };

        let members = said(backend.audience(request).await)?;
        match self.output {
            Some(file) => write(&file, &members)?,
            None => print(&members),
        }
        println!("{} users", members.len());
        Ok(())
    }
}

const COLUMNS: [&str; 5] = ["user_id", "gain", "purchases", "own_purchases", "affinity"];

fn row(member: &pb::AudienceMember) -> Vec<String> {
    vec![
        member.user_id.clone(),
        format!("{:.4}", member.gain),
        format!("{:.6}", member.purchases),
        member.own_purchases.to_string(),
        format!("{:.3}", member.affinity),
    ]
}

fn print(members: &[pb::AudienceMember]) {
    let rows = members.iter().take(PRINTED).map(row).collect();
    println!("{}", output::table(&COLUMNS, &COLUMNS[1..], rows));
}

fn write(path: &Path, members: &[pb::AudienceMember]) -> Result<(), Failure> {
    let failed = |error: csv::Error| format!("{}: {error}", path.display());
    let mut file = csv::Writer::from_path(path).map_err(failed)?;
    file.write_record(COLUMNS).map_err(failed)?;
    for member in members {
        file.write_record(row(member)).map_err(failed)?;
    }
    file.flush().map_err(|error| failed(error.into()).into())
}

/// Records that the shop sent something to the users of a CSV file, whose column is "user_id" or the first.
pub(super) async fn contacted(backend: &Backend, path: &Path) -> Result<(), Failure> {
    let mut recorded = 0;
    for user_ids in users(path)?.chunks(CONTACTS) {
        let request = pb::RecordContactsRequest { user_ids: user_ids.to_vec(), time: None };
        recorded += said(backend.record_contacts(request).await)?.recorded;
    }
    println!("{recorded} users recorded as contacted");
    Ok(())
}

fn users(path: &Path) -> Result<Vec<String>, Failure> {
    let failed = |error: csv::Error| format!("{}: {error}", path.display());
    let mut file = csv::Reader::from_path(path).map_err(failed)?;
    let header = file.headers().map_err(failed)?;
    let column = header.iter().position(|name| name == COLUMNS[0]).unwrap_or(0);
    let mut users = Vec::new();
    for row in file.records() {
        users.extend(row.map_err(failed)?.get(column).map(str::to_owned));
    }
    Ok(users)
}

/// Prints the saved segments and their sizes.
pub(super) async fn segments(backend: &Backend, json: bool) -> Result<(), Failure> {
    let answer = said(backend.segment_sizes(pb::ListSegmentsRequest {}).await)?;
    show(&answer, json, |answer| {
        let row = |of: &pb::SegmentSize| vec![of.name.clone(), of.users.to_string()];
        let rows = answer.segments.iter().map(row).collect();
        println!("{}", output::table(&["segment", "users"], &["users"], rows));
    })
}
