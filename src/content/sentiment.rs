//! What a review says, by a small list of words in English and Chinese: from -1, all bad, to 1, all good.
//!
//! Each word of the lists counts once for each time it occurs; a negation shortly before it turns it round
//! (Taboada et al., "Lexicon-based methods for sentiment analysis", 2011). A shop with a model of its own sends
//! its score instead.

use std::cmp::Reverse;
use std::sync::LazyLock;

use ahash::AHashMap;
use unicode_segmentation::UnicodeSegmentation;

use crate::domain::quote::head;

/// Bytes of a review that are read.
const READ_BYTES: usize = 8_192;
/// Words before a word of the lists among which a negation turns it round.
const REACH: usize = 3;

const GOOD: [&str; 66] = [
    "amazing",
    "awesome",
    "beautiful",
    "beautifully",
    "best",
    "better",
    "bargain",
    "brilliant",
    "charming",
    "comfortable",
    "comfy",
    "cute",
    "delicious",
    "delighted",
    "durable",
    "easy",
    "elegant",
    "enjoy",
    "enjoyed",
    "excellent",
    "fabulous",
    "fantastic",
    "fast",
    "favorite",
    "favourite",
    "fine",
    "fresh",
    "glad",
    "good",
    "gorgeous",
    "great",
    "handy",
    "happy",
    "helpful",
    "ideal",
    "impressed",
    "impressive",
    "like",
    "liked",
    "love",
    "loved",
    "lovely",
    "loves",
    "marvellous",
    "neat",
    "nice",
    "outstanding",
    "perfect",
    "perfectly",
    "pleasant",
    "pleased",
    "pretty",
    "quick",
    "recommend",
    "recommended",
    "reliable",
    "satisfied",
    "soft",
    "solid",
    "stunning",
    "sturdy",
    "super",
    "superb",
    "tasty",
    "wonderful",
    "worth",
];
const BAD: [&str; 67] = [
    "annoying",
    "awful",
    "bad",
    "badly",
    "boring",
    "broke",
    "broken",
    "cheaply",
    "cracked",
    "crap",
    "damaged",
    "defective",
    "dirty",
    "disappointed",
    "disappointing",
    "disappointment",
    "dull",
    "fail",
    "failed",
    "fails",
    "fake",
    "faulty",
    "flimsy",
    "fragile",
    "hate",
    "hated",
    "horrible",
    "inferior",
    "junk",
    "late",
    "leaked",
    "leaking",
    "leaks",
    "misleading",
    "missing",
    "noisy",
    "overpriced",
    "pathetic",
    "poor",
    "poorly",
    "problem",
    "problems",
    "refund",
    "regret",
    "returned",
    "returning",
    "ripped",
    "rubbish",
    "rude",
    "scratched",
    "shoddy",
    "slow",
    "smelly",
    "stained",
    "stinks",
    "stopped",
    "terrible",
    "torn",
    "trash",
    "ugly",
    "uncomfortable",
    "unusable",
    "useless",
    "waste",
    "weak",
    "worse",
    "worst",
];
const NEGATIONS: [&str; 14] = [
    "no", "not", "never", "nothing", "without", "hardly", "cannot", "don't", "doesn't", "didn't",
    "isn't", "wasn't", "won't", "can't",
];
const GOOD_HAN: [&str; 46] = [
    "满意",
    "喜欢",
    "好评",
    "推荐",
    "不错",
    "漂亮",
    "好看",
    "好吃",
    "好用",
    "好喝",
    "舒服",
    "舒适",
    "划算",
    "实惠",
    "便宜",
    "值得",
    "超值",
    "完美",
    "优秀",
    "精致",
    "精美",
    "细腻",
    "柔软",
    "结实",
    "耐用",
    "方便",
    "新鲜",
    "正品",
    "惊喜",
    "开心",
    "高兴",
    "很快",
    "给力",
    "赞",
    "很好",
    "非常好",
    "太好",
    "最好",
    "挺好",
    "质量好",
    "很棒",
    "太棒",
    "真棒",
    "爱了",
    "回购",
    "物美价廉",
];
const BAD_HAN: [&str; 46] = [
    "失望",
    "差评",
    "很差",
    "太差",
    "差劲",
    "垃圾",
    "难看",
    "难吃",
    "难用",
    "难喝",
    "难闻",
    "后悔",
    "退货",
    "退款",
    "假货",
    "坏了",
    "破损",
    "破了",
    "开裂",
    "掉色",
    "褪色",
    "起球",
    "漏水",
    "异味",
    "臭",
    "糟糕",
    "糟",
    "讨厌",
    "恶心",
    "不值",
    "不好",
    "不行",
    "不满",
    "不推荐",
    "不喜欢",
    "太慢",
    "很慢",
    "太贵",
    "骗人",
    "上当",
    "瑕疵",
    "粗糙",
    "劣质",
    "划痕",
    "浪费",
    "没用",
];
const NEGATIONS_HAN: [&str; 7] = ["不太", "不是", "没有", "不", "没", "别", "未"];

/// The sentiment of a text; none where it has no word of the lists.
pub fn sentiment(text: &str) -> Option<f64> {
    let lower = head(text, READ_BYTES).to_lowercase().replace('’', "'");
    let (good, bad) = english(&lower);
    let (good_han, bad_han) = chinese(&lower);
    let (good, bad) = (f64::from(good + good_han), f64::from(bad + bad_han));
    (good + bad > 0.0).then(|| (good - bad) / (good + bad))
}

/// What a word of the lists does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Good,
    Bad,
    Not,
}

/// The English words.
static WORDS: LazyLock<AHashMap<&'static str, Says>> = LazyLock::new(|| {
    let of =
        |words: &'static [&'static str], says: Says| words.iter().map(move |&word| (word, says));
    of(&GOOD, Says::Good).chain(of(&BAD, Says::Bad)).chain(of(&NEGATIONS, Says::Not)).collect()
});

/// The Chinese words by their first character, the longest first.
static HAN: LazyLock<AHashMap<char, Vec<(&'static str, Says)>>> = LazyLock::new(|| {
    let of =
        |words: &'static [&'static str], says: Says| words.iter().map(move |&word| (word, says));
    let all = of(&GOOD_HAN, Says::Good).chain(of(&BAD_HAN, Says::Bad));
    let mut by_first: AHashMap<char, Vec<(&'static str, Says)>> = AHashMap::new();
    for (word, says) in all.chain(of(&NEGATIONS_HAN, Says::Not)) {
        word.chars()
            .take(1)
            .for_each(|first| by_first.entry(first).or_default().push((word, says)));
    }
    by_first.values_mut().for_each(|words| words.sort_by_key(|(word, _)| Reverse(word.len())));
    by_first
});

/// Number of good and of bad words.
fn english(lower: &str) -> (u32, u32) {
    let (mut good, mut bad) = (0, 0);
    // The place after the last negation's reach.
    let mut negated_until = 0;
    for (at, word) in lower.unicode_words().enumerate() {
        match WORDS.get(word) {
            None => {}
            Some(Says::Not) => negated_until = at + 1 + REACH,
            Some(says) if (*says == Says::Good) != (at < negated_until) => good += 1,
            Some(_) => bad += 1,
        }
    }
    (good, bad)
}

/// The same of Chinese, which is read without cutting it into words: at each place the longest word counts. A
/// negation reaches to the end of its clause.
fn chinese(text: &str) -> (u32, u32) {
    let (mut good, mut bad) = (0, 0);
    let mut is_negated = false;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let words = HAN.get(&first).map_or(&[][..], Vec::as_slice);
        let found = words.iter().find(|(word, _)| rest.starts_with(word));
        let length = found.map_or(first.len_utf8(), |(word, _)| word.len());
        match found {
            None => is_negated &= first.is_alphanumeric(),
            Some((_, Says::Not)) => is_negated = true,
            Some((_, says)) => {
                if (*says == Says::Good) != is_negated {
                    good += 1
                } else {
                    bad += 1
                }
                is_negated = false;
            }
        }
        rest = &rest[length..];
    }
    (good, bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reviews_say_what_their_words_say() {
        for (text, expected) in [
            ("Lovely mug, I love it!", Some(1.0)),
            ("Broken on arrival. A waste of money.", Some(-1.0)),
            ("Not good at all", Some(-1.0)),
            ("It doesn’t leak, no problems", Some(1.0)),
            ("Nice, but slow delivery", Some(0.0)),
            ("It is a mug.", None),
            ("", None),
            ("质量好，很喜欢，推荐！", Some(1.0)),
            ("太失望了，退货", Some(-1.0)),
            ("不喜欢", Some(-1.0)),
            ("没有异味，不错", Some(1.0)),
            ("颜色很好看，但是物流太慢", Some(0.0)),
            ("普通的杯子", None),
        ] {
            assert_eq!(sentiment(text), expected, "{text}");
        }
        // Long texts, and any bytes, are read to their limit.
        assert_eq!(sentiment(&"good ".repeat(100_000)), Some(1.0));
        assert_eq!(sentiment(&"不".repeat(100_000)), None);
    }

    #[test]
    fn no_word_is_on_two_lists() {
        for word in GOOD.iter().chain(&GOOD_HAN) {
            assert!(!BAD.contains(word) && !BAD_HAN.contains(word) && !NEGATIONS.contains(word));
        }
    }
}
