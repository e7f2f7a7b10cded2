//! `qianmian users`

use clap::{Args, Subcommand};
use serde_json::json;

use super::backend::Target;
use super::{Failure, output};
use crate::api::wire::pb;
use crate::config::Config;

/// Show what is stored of a user beside their events, or erase them
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  qianmian users get 17850 --data DIR\n  \
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
    /// Erase a user: at once from all answers, and from the files by the next training
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
            Action::Delete { user } => {
                let offset = backend.delete_user(&config, user).await?;
                if self.json {
                    return output::json(&json!({"offset": offset}));
                }
                println!(
                    "erased from all answers, and from the files by the next training of the server"
                );
                Ok(())
            }
        }
    }
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
