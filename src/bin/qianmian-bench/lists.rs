//! What lists cost with more than items in them: reasons and variety, beside the same users' lists
//! blended anew without; rules; and the record of what was shown.

use std::path::Path;

use clap::Args;
use prost::Message;
use qianmian::api::pb;
use qianmian::api::wire::codec::{self, PREFIX_BYTES};
use qianmian::cli::{Failure, output};
use qianmian::config::Config;
use qianmian::engine::Engine;
use qianmian::rules::{Action, Rule, RuleSet, Select, When};

use crate::asked::Asked;
use crate::compared::Loads;
use crate::load::{CONCURRENCY, Calls, Reached};
use crate::server::{Server, copy_folder};

/// Number of rules in force.
const RULES: usize = 1_000;

/// Measure what reasons, variety, rules and the record of what was shown cost, relative to lists without
#[derive(Debug, Args)]
pub(crate) struct Lists {
    #[command(flatten)]
    loads: Loads,
}

impl Lists {
    pub(crate) fn run(self, config: &Config, data_given: bool) -> Result<(), Failure> {
        if !data_given {
            return Err("name a data folder with a model: --data DIR".into());
        }

        let asked = Asked::of(&config.data, config)?;
        let calls = asked.calls(self.loads.limit);
        let of = |name: &str| -> Result<&Calls, Failure> {
            let known = calls.iter().find(|(known, _)| known == name);
            Ok(&known.ok_or("there is no such call")?.1)
        };
        let anew = of("Recommend, blended anew")?;

        let folder = tempfile::tempdir()?;
        let copy = folder.path().join("data");
        copy_folder(&config.data, &copy)?;
        let unrecorded = [("QIANMIAN_RECOMMEND__EXPOSURES", "0.0")];
        let plain = Server::serve(&config.data, &unrecorded)?;
        let with_rules = |name: &str, boosts: bool| -> Result<Server, Failure> {
            let data = folder.path().join(name);
            copy_folder(&copy, &data)?;
            apply_rules(&data, config, &asked.known_items, boosts)?;
            Server::serve(&data, &unrecorded)
        };
        let boosting = with_rules("boosting", true)?;
        let placing = with_rules("placing", false)?;
        let recording = Server::serve::<&str>(&copy, &[])?;
        let servers = [&plain, &recording, &boosting, &placing];
        let [plain, recording, boosting, placing] =
            servers.map(|server| server.address).map(|at| Reached::plainly(&at.to_string()));
        println!(
            "{}; {CONCURRENCY} requests at once, lists of {}\n",
            asked.store, self.loads.limit
        );

        let variety = Some(pb::Variety { one_of_group: true, ..pb::Variety::default() });
        let explained = changed(anew, |request| request.explain = true)?;
        let varied = changed(anew, |request| request.variety = variety)?;
        let both = changed(anew, |request| {
            request.explain = true;
            request.variety = variety;
        })?;

        let mut rows = Vec::new();
        for (name, with) in
            [("explain", &explained), ("variety", &varied), ("explain and variety", &both)]
        {
            rows.push(self.loads.compare(name, (anew, &plain), (with, &plain))?);
        }
        for name in ["Recommend", "Recommend, blended anew"] {
            let calls = of(name)?;
            for (kind, ruled) in [("with boosts", &boosting), ("without boosts", &placing)] {
                let row = format!("{RULES} rules {kind}: {name}");
                rows.push(self.loads.compare(&row, (calls, &plain), (calls, ruled))?);
            }
            let row = format!("recorded: {name}");
            rows.push(self.loads.compare(&row, (calls, &plain), (calls, &recording))?);
        }
        let header = ["lists", "without /s", "with /s", "ratio", "lowest", "highest"];
        println!("{}", output::table(&header, &header[1..], rows));
        Ok(())
    }
}

/// Puts [`RULES`] rules in force: boosts and buries, where asked, and exclusions of all lists; pins of all
/// lists, of some users, and of another placement.
fn apply_rules(
    data: &Path,
    config: &Config,
    items: &[String],
    boosts: bool,
) -> Result<(), Failure> {
    let rule = |number: usize| {
        let pick =
            |many: usize| (0..many).map(|n| items[(number * 7 + n * 131) % items.len()].clone());
        let (action, many) = match number % 10 {
            0..=3 if boosts => (Action::Boost(1.0 + (number % 7 + 1) as f64 / 20.0), 20),
            4..=5 if boosts => (Action::Bury(0.9), 20),
            0..=7 if number > 9 => (Action::Exclude, 1),
            _ => (Action::Pin(1), 1),
        };

        let mut when = When::default();
        match number % 10 {
            8 => drop(when.user_attributes.insert("tier".into(), vec![number.to_string()])),
            9 => when.placements.push("popular".into()),
            _ => {}
        }
        let items = Select { ids: pick(many).collect(), ..Select::default() };
        let name = format!("rule {number}");
        Rule { name, action, items, when, priority: 0, disabled: false }
    };

    let set = RuleSet { rules: (0..RULES).map(rule).collect(), ..RuleSet::default() };
    let engine = Engine::open(data, config.engine())?;
    engine.steering().apply(&set, String::new(), None)?;
    Ok(())
}

/// The same requests, each changed.
fn changed(calls: &Calls, change: impl Fn(&mut pb::RecommendRequest)) -> Result<Calls, Failure> {
    let frame = |frame: &bytes::Bytes| -> Result<bytes::Bytes, Failure> {
        let mut request = pb::RecommendRequest::decode(&frame[PREFIX_BYTES..])?;
        change(&mut request);
        Ok(codec::frame(&request).into())
    };
    let frames = calls.frames.iter().map(frame).collect::<Result<_, _>>()?;
    Ok(Calls { path: calls.path.clone(), frames })
}
