//! What lists cost with more than items in them: reasons and variety, beside the same users' lists
//! blended anew without; and the record of what was shown.

use clap::Args;
use prost::Message;
use qianmian::api::pb;
use qianmian::api::wire::codec::{self, PREFIX_BYTES};
use qianmian::cli::{Failure, output};
use qianmian::config::Config;

use crate::asked::Asked;
use crate::compared::Loads;
use crate::load::{CONCURRENCY, Calls, Reached};
use crate::server::{Server, copy_folder};

/// Measure what reasons, variety and the record of what was shown cost, relative to lists without
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
        let recording = Server::serve::<&str>(&copy, &[])?;
        let [plain, recording] =
            [plain.address, recording.address].map(|at| Reached::plainly(&at.to_string()));
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
            let row = format!("recorded: {name}");
            rows.push(self.loads.compare(&row, (calls, &plain), (calls, &recording))?);
        }
        let header = ["lists", "without /s", "with /s", "ratio", "lowest", "highest"];
        println!("{}", output::table(&header, &header[1..], rows));
        Ok(())
    }
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
