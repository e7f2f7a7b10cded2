//! What a review says, by a small list of words in English and Chinese: from -1, all bad, to 1, all good.
//!
//! Each word of the lists counts once for each time it occurs; a negation shortly before it turns it round
//! (Taboada et al., "Lexicon-based methods for sentiment analysis", 2011). A shop with a model of its own sends
//! its score instead.

use unicode_segmentation::UnicodeSegmentation;

use crate::domain::quote::head;

/// Bytes of a review that are read.
const READ_BYTES: usize = 8_192;
/// Words before a word of the lists among which a negation turns it round.
const REACH: usize = 3;

/// Good words, sorted as all lists are.
const GOOD: [&str; 66] = [
    "amazing",
    "awesome",
    "bargain",
    "beautiful",
    "beautifully",
    "best",
    "better",
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
/// Bad words.
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
/// Words that turn the next ones round.
const NEGATIONS: [&str; 14] = [
    "can't", "cannot", "didn't", "doesn't", "don't", "hardly", "isn't", "never", "no", "not",
    "nothing", "wasn't", "without", "won't",
];
/// The same of Chinese.
const GOOD_HAN: [&str; 46] = [
    "不错",
    "优秀",
    "便宜",
    "值得",
    "划算",
    "喜欢",
    "回购",
    "太好",
    "太棒",
    "好吃",
    "好喝",
    "好用",
    "好看",
    "好评",
    "完美",
    "实惠",
    "开心",
    "很好",
    "很快",
    "很棒",
    "惊喜",
    "挺好",
    "推荐",
    "新鲜",
    "方便",
    "最好",
    "柔软",
    "正品",
    "满意",
    "漂亮",
    "爱了",
    "物美价廉",
    "真棒",
    "精美",
    "精致",
    "细腻",
    "结实",
    "给力",
    "耐用",
    "舒服",
    "舒适",
    "质量好",
    "赞",
    "超值",
    "非常好",
    "高兴",
];
/// Bad words of Chinese.
const BAD_HAN: [&str; 46] = [
    "上当",
    "不值",
    "不喜欢",
    "不好",
    "不推荐",
    "不满",
    "不行",
    "假货",
    "划痕",
    "劣质",
    "后悔",
    "坏了",
    "垃圾",
    "太差",
    "太慢",
    "太贵",
    "失望",
    "差劲",
    "差评",
    "开裂",
    "异味",
    "很差",
    "很慢",
    "恶心",
    "掉色",
    "没用",
    "浪费",
    "漏水",
    "瑕疵",
    "破了",
    "破损",
    "粗糙",
    "糟",
    "糟糕",
    "臭",
    "褪色",
    "讨厌",
    "起球",
    "退款",
    "退货",
    "难吃",
    "难喝",
    "难用",
    "难看",
    "难闻",
    "骗人",
];
/// Negations of Chinese.
const NEGATIONS_HAN: [&str; 7] = ["不", "不太", "不是", "别", "未", "没", "没有"];

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

/// What a word says in English; none of a word that is on no list.
fn says(word: &str) -> Option<Says> {
    let is_on = |list: &[&str]| list.binary_search(&word).is_ok();
    if is_on(&GOOD) {
        Some(Says::Good)
    } else if is_on(&BAD) {
        Some(Says::Bad)
    } else {
        is_on(&NEGATIONS).then_some(Says::Not)
    }
}

/// The length of the longest word of a sorted list that a text begins with; 0 without one.
fn longest(list: &[&str], text: &str, first: char) -> usize {
    let from = list.partition_point(|word| word.chars().next() < Some(first));
    let same = list[from..].iter().take_while(|word| word.starts_with(first));
    same.filter(|word| text.starts_with(**word)).map(|word| word.len()).max().unwrap_or(0)
}

/// The longest word of the Chinese lists that a text begins with: its length, and what it says.
fn says_han(text: &str, first: char) -> Option<(usize, Says)> {
    let of = |list: &[&str], says: Says| (longest(list, text, first), says);
    let all = [of(&NEGATIONS_HAN, Says::Not), of(&BAD_HAN, Says::Bad), of(&GOOD_HAN, Says::Good)];
    all.into_iter().max_by_key(|(length, _)| *length).filter(|(length, _)| *length > 0)
}

/// Number of good and of bad words.
fn english(lower: &str) -> (u32, u32) {
    let (mut good, mut bad) = (0, 0);
    // The place after the last negation's reach.
    let mut negated_until = 0;
    for (at, word) in lower.unicode_words().enumerate() {
        match says(word) {
            None => {}
            Some(Says::Not) => negated_until = at + 1 + REACH,
            Some(says) if (says == Says::Good) != (at < negated_until) => good += 1,
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
        let found = says_han(rest, first);
        let length = found.map_or(first.len_utf8(), |(length, _)| length);
        match found {
            None => is_negated &= first.is_alphanumeric(),
            Some((_, Says::Not)) => is_negated = true,
            Some((_, says)) => {
                if (says == Says::Good) != is_negated {
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
    fn lists_are_sorted_and_no_word_is_on_two() {
        for list in [&GOOD[..], &BAD, &NEGATIONS, &GOOD_HAN, &BAD_HAN, &NEGATIONS_HAN] {
            assert!(list.is_sorted(), "{list:?}");
        }
        for word in GOOD.iter().chain(&GOOD_HAN) {
            assert!(!BAD.contains(word) && !BAD_HAN.contains(word) && !NEGATIONS.contains(word));
        }
    }
}
