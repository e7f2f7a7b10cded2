//! A static embedding model for texts (Model2Vec: van Dongen and Tulkens 2024): a vector for every token,
//! whose mean is the vector of a text. It is read from a folder that the shop names; nothing is
//! downloaded. Only in builds with the feature `text-model`.

use std::path::Path;

#[cfg(feature = "text-model")]
pub use loaded::TextModel;
#[cfg(not(feature = "text-model"))]
pub use missing::TextModel;

use crate::domain::Item;

/// The name of the model's vector; no shop's vector has such a name.
pub const TEXT_MODEL: &str = "(text model)";

/// The text of an item, as a model reads it.
#[cfg(feature = "text-model")]
fn text(item: &Item) -> String {
    let parts = [item.title.as_str(), item.description.as_str()];
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(". ")
}

#[cfg(feature = "text-model")]
mod loaded {
    use model2vec_rs::model::StaticModel;
    use safetensors::{Dtype, SafeTensors};
    use serde_json::Value;

    use super::{Item, Path, text};
    use crate::domain::limits;

    /// Tokens of a text that are read.
    const TOKENS: usize = 512;

    /// A text model in memory.
    #[derive(Debug)]
    pub struct TextModel {
        model: StaticModel,
    }

    impl TextModel {
        /// Reads `tokenizer.json`, `model.safetensors` and `config.json` of a folder.
        ///
        /// # Errors
        /// Says which file is missing, damaged or does not fit the others, or that its vectors are too
        /// long.
        pub fn load(folder: &Path) -> Result<Self, String> {
            let read = |name: &str| {
                std::fs::read(folder.join(name)).map_err(|error| format!("{name}: {error}"))
            };
            let (tokenizer, tensors) = (read("tokenizer.json")?, read("model.safetensors")?);
            check(&tokenizer, &tensors)?;
            let model = StaticModel::from_bytes(tokenizer, tensors, read("config.json")?, None);
            let model = model.map_err(|error| format!("{error:#}"))?;
            if model.dim() == 0 || model.dim() > limits::MAX_DIMENSIONS {
                let max = limits::MAX_DIMENSIONS;
                return Err(format!("vectors must have 1 to {max} values, have {}", model.dim()));
            }
            Ok(Self { model })
        }

        /// The vector of an item's title and description; none where no token of them has one.
        pub fn vector(&self, item: &Item) -> Option<Vec<f32>> {
            let text = text(item);
            let vectors = self.model.encode_with_args(&[text], Some(TOKENS), 1);
            let vector = vectors.into_iter().next()?;
            let is_whole = vector.iter().all(|x| x.is_finite()) && vector.iter().any(|x| *x != 0.0);
            is_whole.then_some(vector)
        }
    }

    /// Refuses a model that could not read every text, which would end the process: one without a row for
    /// some of its tokens, or without a token for unknown characters.
    fn check(tokenizer: &[u8], tensors: &[u8]) -> Result<(), String> {
        let tensors = SafeTensors::deserialize(tensors)
            .map_err(|error| format!("model.safetensors: {error}"))?;
        let named = |name: &&str| tensors.tensor(name).ok();
        let table = ["embeddings", "0", "embedding.weight"].iter().find_map(named);
        let rows = table.and_then(|table| table.shape().first().copied()).unwrap_or(0) as u64;

        let tokenizer: Value = serde_json::from_slice(tokenizer)
            .map_err(|error| format!("tokenizer.json: {error}"))?;
        let model = &tokenizer["model"];
        let may_fail = model["type"] == "Unigram" && model["unk_id"].is_null();
        if may_fail && model["byte_fallback"] != true {
            return Err(
                "tokenizer.json: must have an unk_id, for characters that it lacks".to_owned()
            );
        }
        let vocabulary = &model["vocab"];
        let listed = vocabulary.as_array().map_or(0, Vec::len) as u64;
        let numbered = vocabulary.as_object().into_iter().flat_map(|vocab| vocab.values());
        let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
        let ids = numbered.chain(added.map(|token| &token["id"])).filter_map(Value::as_u64);
        let tokens = ids.map(|id| id.saturating_add(1)).fold(listed, u64::max);

        // A model with a mapping has fewer rows than tokens; a token past its end is its own row.
        let mapping = tensors.tensor("mapping").ok();
        let mapped = mapping.as_ref().map(|mapping| mapping.data()).unwrap_or_default();
        let row = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes).saturating_add(1);
        let needed = match mapping.as_ref().map(|mapping| mapping.dtype()) {
            None => tokens,
            Some(Dtype::I64) if (mapped.len() / 8) as u64 >= tokens => {
                mapped.as_chunks::<8>().0.iter().map(row).max().unwrap_or(0)
            }
            Some(_) => return Err("model.safetensors: its mapping does not fit".to_owned()),
        };
        if rows < needed {
            return Err(format!(
                "model.safetensors: has {rows} rows, {needed} are needed by tokenizer.json"
            ));
        }
        Ok(())
    }
}

#[cfg(not(feature = "text-model"))]
mod missing {
    use super::{Item, Path};

    /// No build without the feature `text-model` has a value of it.
    #[derive(Debug)]
    pub enum TextModel {}

    impl TextModel {
        /// Refuses.
        ///
        /// # Errors
        /// Always: names the feature that is missing.
        pub fn load(_folder: &Path) -> Result<Self, String> {
            Err("this build reads no text models: build with --features text-model".to_owned())
        }

        /// The vector of an item's title and description.
        pub fn vector(&self, _item: &Item) -> Option<Vec<f32>> {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(not(feature = "text-model"))]
    #[test]
    fn a_build_without_text_models_says_so() {
        let refused = super::TextModel::load(super::Path::new("model")).unwrap_err();
        assert!(refused.contains("--features text-model"), "{refused}");
    }

    #[cfg(feature = "text-model")]
    mod loaded {
        use std::collections::HashMap;

        use safetensors::Dtype;
        use safetensors::tensor::TensorView;
        use serde_json::json;

        use crate::content::text_model::{Item, Path, TEXT_MODEL, TextModel};
        use crate::content::{Corpus, FieldWeights, Reader};

        /// A folder with a model of four words: tea and chai are alike, and so are mug and cup.
        fn folder(rows: &[[f32; 2]]) -> tempfile::TempDir {
            let words = ["[UNK]", "tea", "chai", "mug", "cup"];
            let vocab: HashMap<&str, usize> = words.into_iter().zip(0..).collect();
            let tokenizer = json!({
                "version": "1.0",
                "truncation": null,
                "padding": null,
                "added_tokens": [],
                "normalizer": {"type": "Lowercase"},
                "pre_tokenizer": {"type": "Whitespace"},
                "post_processor": null,
                "decoder": null,
                "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "[UNK]"},
            });
            let bytes: Vec<u8> = rows.iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
            let table = TensorView::new(Dtype::F32, vec![rows.len(), 2], &bytes).unwrap();
            let tensors = safetensors::serialize([("embeddings", table)], None).unwrap();

            let folder = tempfile::tempdir().unwrap();
            let write = |name: &str, bytes: &[u8]| {
                std::fs::write(folder.path().join(name), bytes).unwrap();
            };
            write("tokenizer.json", tokenizer.to_string().as_bytes());
            write("model.safetensors", &tensors);
            write("config.json", br#"{"normalize": true}"#);
            folder
        }

        const ROWS: [[f32; 2]; 5] = [[0.0, 0.0], [1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]];

        #[test]
        fn words_that_never_meet_are_alike_by_their_vectors() {
            let folder = folder(&ROWS);
            let reader = Reader::new(Some(TextModel::load(folder.path()).unwrap()));
            let mut corpus = Corpus::default();
            for (idx, title) in (0..).zip(["Tea", "Chai", "Mug", "Cup", "Nameless"]) {
                let item = Item { title: title.into(), ..Item::default() };
                corpus.insert(idx, reader.document(&item));
            }

            let weights = FieldWeights::default();
            assert_eq!(corpus.vectors(&weights).collect::<Vec<_>>(), [(TEXT_MODEL, 2, 1.0)]);
            let nearest = |idx| corpus.alike(idx, &FieldWeights::default(), 4)[0].idx;
            assert_eq!([0, 1, 2, 3].map(nearest), [1, 0, 3, 2]);
            // None of its tokens is known.
            assert!(corpus.document(4).unwrap().vectors.is_empty());
        }

        #[test]
        fn what_does_not_fit_together_is_refused() {
            let why = |folder: &Path| TextModel::load(folder).unwrap_err();
            let short = folder(&ROWS[..3]);
            assert_eq!(
                why(short.path()),
                "model.safetensors: has 3 rows, 5 are needed by tokenizer.json"
            );
            let whole = folder(&ROWS);
            let unigram = json!({
                "added_tokens": [],
                "model": {"type": "Unigram", "vocab": [["tea", 0.0]], "unk_id": null},
            });
            std::fs::write(whole.path().join("tokenizer.json"), unigram.to_string()).unwrap();
            assert!(why(whole.path()).contains("must have an unk_id"));
            std::fs::remove_file(short.path().join("config.json")).unwrap();
            std::fs::write(short.path().join("model.safetensors"), "no tensors").unwrap();
            assert!(why(short.path()).starts_with("model.safetensors: "));
            std::fs::remove_file(short.path().join("tokenizer.json")).unwrap();
            assert!(why(short.path()).starts_with("tokenizer.json: "));
        }
    }
}
