//! Cuts a text into words, in any language: by the rules of Unicode (UAX 29); runs of Han characters
//! by jieba's dictionary, which is loaded when the first of them is met.

use std::sync::Arc;

use jieba_rs::Jieba;
use parking_lot::Mutex;
use unicode_segmentation::UnicodeSegmentation;

use crate::domain::quote::head;

/// Bytes of a text that are read, for each word that is wanted: the rest of a long one would take
/// time and change nothing.
const WORD_BYTES: usize = 16;

/// Cuts texts.
#[derive(Default)]
pub struct Words {
    jieba: Mutex<Option<Arc<Jieba>>>,
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Words").field("is_loaded", &self.jieba.lock().is_some()).finish()
    }
}

impl Words {
    /// The first `max` words of a text, in lower case.
    pub fn of(&self, text: &str, max: usize) -> Vec<String> {
        let mut words = Vec::new();
        let lower = head(text, max * WORD_BYTES).to_lowercase();
        for run in runs(&lower) {
            if words.len() >= max {
                break;
            }
            if run.starts_with(is_han) {
                let jieba = self.jieba();
                words.extend(
                    jieba.cut_for_search(run, true).iter().map(|token| token.word.to_owned()),
                );
            } else {
                words.extend(run.unicode_words().map(str::to_owned));
            }
        }
        words.truncate(max);
        words
    }

    fn jieba(&self) -> Arc<Jieba> {
        self.jieba.lock().get_or_insert_with(|| Arc::new(Jieba::new())).clone()
    }
}

/// The text in runs that are of Han characters alone, or of others alone.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = rest.find(|c| is_han(c) != is_han(first)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        rest = after;
        Some(run)
    })
}

/// Whether a character is of the Han script: the unified ideographs and their extensions.
pub fn is_han(c: char) -> bool {
    matches!(
        u32::from(c),
        0x3005 | 0x3007 | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_fffd
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_any_language_have_words() {
        let words = Words::default();
        assert_eq!(
            words.of("Don't PANIC: 3 red-hot mugs 🎉", 9),
            ["don't", "panic", "3", "red", "hot", "mugs"]
        );
        assert_eq!(words.of("Grüße, Ёлка; قهوة", 9), ["grüße", "ёлка", "قهوة"]);
        let chinese = words.of("龙井绿茶 250g 礼盒装", 20);
        assert!(chinese.iter().any(|word| word == "绿茶"), "{chinese:?}");
        assert!(chinese.iter().any(|word| word == "250g"), "{chinese:?}");
        assert_eq!(words.of("", 9), [""; 0]);
        assert_eq!(words.of(&"a ".repeat(50_000), 7).len(), 7);
    }
}
