//! `qianmian users`

use clap::{Args, Subcommand};
use serde_json::json;

use super::backend::Target;
use super::{Failure, decisions, output};
use crate::api::wire::pb;
use crate::config::Config;
use crate::domain::quote::printable;

/// Show what is stored of a user, follow what they decide of it, or erase them
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  qianmian users get 17850 --data DIR\n  \
                  qianmian users data 17850 --data DIR\n  \
                  qianmian users personalisation 17850 off --no-recording --server ADDR\n  \
                  qianmian users tags 17850 --data DIR\n  \
                  qianmian users delete 17850 --server https://ADDR --key-file ops.key\n\n\
                  qianmian history prints the events.")]
pub struct Users {
    #[command(subcommand)]
    action: Action,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print a user's attributes and consent
    Get {
        /// The user
        user: String,
    },
    /// Print everything that the store holds about a user, as JSON
    Data {
        /// The user
        user: String,
    },
    /// Turn personalisation off or on, by the user's own decision
    Personalisation {
        /// The user
        user: String,
        /// "on" or "off"
        #[arg(value_parser = ["on", "off"])]
        state: String,
        /// While it is off, do not record what the user does
        #[arg(long)]
        no_recording: bool,
    },
    /// Print what the portrait of a user believes, and why
    Tags {
        /// The user
        user: String,
    },
    /// Delete a tag of a user, for good
    DeleteTag {
        /// The user
        user: String,
        /// The tag, as "tags" prints it
        tag: String,
    },
    /// Make ids aliases of a user: from then on they are one user
    Link {
        /// The user
        user: String,
        /// The aliases: devices, cards, hashes of addresses
        #[arg(required = true)]
        aliases: Vec<String>,
    },
    /// Make aliases users of their own again, as if they had never been linked
    Unlink {
        /// The aliases
        #[arg(required = true)]
        aliases: Vec<String>,
    },
    /// Erase a user: at once from all answers, soon from the model and the files
    Delete {
        /// The user
        user: String,
    },
}

impl Users {
    pub(super) async fn run(self, config: Config) -> Result<(), Failure> {
        let backend = self.target.open(&config).await?;
        match self.action {
            Action::Get { user } => {
                let found = backend.user(user).await.map_err(|s| s.message().to_owned())?;
                print(&found, self.json)
            }
            Action::Data { user } => {
                let data = backend.user_data(&config, user).await;
                println!("{}", data.map_err(|s| s.message().to_owned())?);
                Ok(())
            }

            Action::Personalisation { user, state, no_recording } => {
                let record_events = Some(!no_recording);
                let (user_id, enabled) = (user, state == "on");
                let request = pb::SetPersonalisationRequest { user_id, enabled, record_events };
                let done = backend.set_personalisation(request).await;
                done.map_err(|s| s.message().to_owned())?;
                println!("personalisation is {state}");
                Ok(())
            }

            Action::Tags { user } => {
                let asked = backend.user_tags(pb::ListUserTagsRequest { user_id: user }).await;
                print_tags(&asked.map_err(|s| s.message().to_owned())?, self.json)
            }
            Action::DeleteTag { user, tag } => {
                let request = pb::DeleteUserTagRequest { user_id: user, tag: tag.clone() };
                backend.delete_user_tag(request).await.map_err(|s| s.message().to_owned())?;
                println!("{} is deleted", printable(&tag));
                Ok(())
            }

            Action::Link { user, aliases } => {
                let request = pb::LinkUsersRequest { user_id: user, alias_ids: aliases };
                let done = backend.link_users(request).await;
                let linked = done.map_err(|s| s.message().to_owned())?.linked;
                println!("{linked} ids are aliases now");
                Ok(())
            }
            Action::Unlink { aliases } => {
                let request = pb::UnlinkUsersRequest { alias_ids: aliases };
                let done = backend.unlink_users(request).await;
                let unlinked = done.map_err(|s| s.message().to_owned())?.unlinked;
                println!("{unlinked} aliases are users of their own again");
                Ok(())
            }

            Action::Delete { user } => {
                let offset = backend.delete_user(&config, user).await?;
                if self.json {
                    return output::json(&json!({"offset": offset}));
                }
                println!(
                    "erased from all answers; the server now takes them out of the model and the files"
                );
                Ok(())
            }
        }
    }
}

fn print_tags(answer: &pb::ListUserTagsResponse, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::json(&decisions::as_json(answer)?);
    }
    let tags = answer.tags.iter().map(|of| vec![of.tag.clone(), of.reason.clone()]);
    let deleted = answer.deleted_tags.iter().map(|tag| vec![tag.clone(), "deleted".to_owned()]);
    println!("{}", output::table(&["tag", "reason"], &[], tags.chain(deleted).collect()));
    Ok(())
}

fn print(user: &pb::User, as_json: bool) -> Result<(), Failure> {
    let consent = output::name(user.consent().as_str_name(), "CONSENT_");
    let attributes: std::collections::BTreeMap<_, _> = user.attributes.iter().collect();
    if as_json {
        let user = json!({"user_id": user.user_id, "consent": consent, "attributes": attributes});
        return output::json(&user);
    }
    let own = [("user", &user.user_id), ("consent", &consent)];
    let own = own.into_iter().map(|(name, value)| vec![name.to_owned(), value.clone()]);
    let rows =
        own.chain(attributes.into_iter().map(|(name, value)| vec![name.clone(), value.clone()]));
    println!("{}", output::table(&["field", "value"], &[], rows.collect()));
    Ok(())
}
