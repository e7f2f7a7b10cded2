//! Every spelling of time, and what is none.

use super::*;

/// 2023-05-01T10:00:00Z.
const TEN: i64 = 1_682_935_200_000;
const MIDNIGHT: i64 = 1_682_899_200_000;
const HOUR: i64 = 3_600_000;

fn read(text: &str) -> Result<i64, Unread> {
    parse(text, &TimeFormat::default())
}

fn as_said(format: &str, text: &str) -> Result<i64, Unread> {
    parse(text, &format.parse().unwrap())
}

/// Spellings of one moment.
const SPELLINGS_OF_TEN: &[&str] = &[
    "1682935200",
    "1682935200.0",
    "1682935200000",
    "1682935200000000",
    "1682935200000000000",
    "45047.4166666667",
    "202305011000",
    "20230501100000",
    "20230501T100000Z",
    "20230501 10:00",
    "2023-05-01T10:00:00Z",
    "2023-05-01T12:00:00+02:00",
    "2023-05-01 12:00:00+02",
    "2023-05-01 10:00:00",
    " 2023-05-01 10:00 ",
    "2023-05-01T10:00:00.000Z",
    "2023-05-01 10:00:00 UTC",
    "2023-05-01 10:00:00.000 UTC",
    "2023-05-01 18:00:00 +0800",
    "2023-05-01 18:00:00 +08:00",
    "2023-05-01 18:00:00 GMT+8",
    "2023-05-01 06:00:00 -04",
    "2023-05-01T18:00:00+08:00[Asia/Shanghai]",
    "2023-05-01T18:00:00[Asia/Shanghai]",
    "2023-05-01 18:00:00 Asia/Shanghai",
    "2023/05/01 10:00:00",
    "2023/5/1 10:00",
    "2023.05.01 10:00",
    "2023-5-1 10:00",
    "2023-05-01 10:00 AM",
    "2023-05-01 10:00:00am",
    "2023-05-01, 10:00",
    "1 May 2023 10:00",
    "01-May-2023 10:00:00",
    "May 1, 2023 10:00 AM",
    "May 1, 2023, 10:00:00 AM",
    "Mon, 01 May 2023 10:00:00 GMT",
    "Mon May 01 2023 18:00:00 GMT+0800 (China Standard Time)",
    "2023年5月1日 10:00",
    "2023年05月01日10时00分00秒",
    "2023年5月1日 上午10:00",
    "2023-05-01T10:00:00,000",
    "2023年5月1日10时",
    "2023年5月1日10时0分",
    "2023-05-01 18:00 +0800 (CST)",
];

#[test]
fn every_spelling() {
    for text in SPELLINGS_OF_TEN {
        assert_eq!(read(text), Ok(TEN), "{text}");
    }

    let midnight =
        ["2023-05-01", "20230501", "20230501.0", "2023年5月1日", "2023/5/1", "1 May 2023", "45047"];
    for text in midnight {
        assert_eq!(read(text), Ok(MIDNIGHT), "{text}");
    }

    assert_eq!(read("2023-05-01 12:30 AM"), Ok(MIDNIGHT + HOUR / 2));
    assert_eq!(read("2023-05-01 00:30 AM"), Ok(MIDNIGHT + HOUR / 2));
    assert_eq!(read("2023-05-01 12:30 PM"), Ok(MIDNIGHT + 12 * HOUR + HOUR / 2));
    assert_eq!(read("2023年5月1日 下午2:05"), Ok(TEN + 4 * HOUR + 300_000));
    assert_eq!(read("2010-12-01 08:26:00"), Ok(1_291_191_960_000));
    assert_eq!(read("1291191960.5"), Ok(1_291_191_960_500));
    assert_eq!(read("1.68289921E9"), Ok(1_682_899_210_000));
    assert_eq!(read("2023-05-01 12:00:00 CEST"), Ok(TEN));

    // The same moment is the same however it is written.
    for text in ["1612069510766593", "2021-01-31T05:05:10.766593Z", "1612069510.766593"] {
        assert_eq!(read(text), Ok(1_612_069_510_766), "{text}");
    }

    // The last year that older files of films hold, in seconds.
    assert_eq!(read("874724710"), Ok(874_724_710_000));
}

#[test]
fn what_is_no_time() {
    for text in [
        "",
        "yesterday",
        "2010-13-01",
        "2023-02-30",
        "1/2/3/4 5",
        "NaN",
        "inf",
        "13/13/2010 8:26",
        "2023-05-01 25:00",
        "2023-05-01 13:00 PM",
        "2023-05-01 10:00 CST",
        "2023-05-01 10:00 Nowhere/City",
        "2023-05-01 10",
        "1.2.3",
        "2023-05/01",
        "-2023-05-01",
        "May 2023",
        "NULL",
        "2023-05-01 (Mon) 10:00:00",
        "2023-05-01 10:00:00 (UTC+8)",
        "2023-05-01-10",
        "2023-05-01 10:00 +1:0",
        &"Mon ".repeat(100_000),
    ] {
        assert_eq!(read(text), Err(Unread::NoTime), "{text}");
    }

    for text in [
        "0",
        "1",
        "-5",
        "1000",
        "99999999999",
        "20231301",
        "1e300",
        "12.5",
        "2023",
        "1.68294E+12",
        "1.6829E9",
        "638185248000000000",
    ] {
        assert_eq!(read(text), Err(Unread::Implausible), "{text}");
    }
}

#[test]
fn day_or_month_is_read_as_proven_or_where_it_can_be_one() {
    let may_13 = 1_683_936_000_000;
    assert_eq!(read("13/5/2023"), Ok(may_13));
    assert_eq!(read("5/13/2023"), Ok(may_13));
    assert_eq!(read("13.05.2023 14:05"), Ok(may_13 + 14 * HOUR + 300_000));
    assert_eq!(read("5/13/2023 2:05 PM"), Ok(may_13 + 14 * HOUR + 300_000));
    assert_eq!(read("5/5/2023"), Ok(MIDNIGHT + 4 * 24 * HOUR));
    assert_eq!(read("1/5/2023"), Err(Unread::DayOrMonth));

    assert_eq!(as_said("day-first", "1/5/2023 10:00"), Ok(TEN));
    assert_eq!(as_said("month-first", "05-01-2023 10:00"), Ok(TEN));
    assert_eq!(as_said("month-first", "13/5/2023"), Err(Unread::NoTime));

    // Years without a century, as spreadsheets write them, are read where the order is known.
    assert_eq!(read("5/1/23 10:00"), Err(Unread::DayOrMonth));
    assert_eq!(read("13/5/23"), Err(Unread::DayOrMonth));
    assert_eq!(as_said("month-first", "5/1/23 10:00"), Ok(TEN));
    assert_eq!(as_said("day-first", "1.5.23 10:00"), Ok(TEN));
    assert_eq!(as_said("day-first", "1.5.97"), Ok(862_444_800_000));
    assert_eq!(evidence("13/5/23"), None);
    let contradicted = TimeFormat::default().ordered(DateOrder::Contradicted);
    assert_eq!(parse("13/5/2023", &contradicted), Err(Unread::Contradicted));
    assert_eq!(parse("2023/5/1 10:00", &contradicted), Ok(TEN));

    assert_eq!(evidence("13/5/2023 1:00"), Some(DateOrder::DayFirst));
    assert_eq!(evidence("5.13.2023"), Some(DateOrder::MonthFirst));
    assert_eq!(evidence("5/12/2023"), Some(DateOrder::Unproven));
    assert_eq!(evidence("99/01/2023"), None, "what is no date proves nothing");
    let unseen = TimeFormat::default().ordered(DateOrder::Unseen);
    assert_eq!(parse("13/5/2023", &unseen), Err(Unread::DayOrMonth));

    for text in ["2023-05-13", "1682935200", "13 May 2023", ""] {
        assert_eq!(evidence(text), None, "{text}");
    }
}

#[test]
fn what_is_asked_for_is_read_and_nothing_else() {
    assert_eq!(as_said("unix", "20230501"), Ok(20_230_501_000));
    assert_eq!(as_said("unix", "0"), Ok(0));
    assert_eq!(as_said("unix-ms", "1682935200000"), Ok(TEN));
    assert_eq!(as_said("unix-us", "1682935200000000"), Ok(TEN));
    assert_eq!(as_said("excel", "2"), Ok(-2_208_988_800_000));
    assert_eq!(as_said("unix", "2023-05-01"), Err(Unread::NoTime));
    assert_eq!(as_said("%d.%m.%y %H:%M", "01.05.23 10:00"), Ok(TEN));
    assert_eq!(as_said("%y%m%d", "230501"), Ok(MIDNIGHT));
    assert_eq!(as_said("%Y-%m-%d %H:%M %z", "2023-05-01 18:00 +0800"), Ok(TEN));
    assert_eq!(as_said("%Y-%m-%d %H:%M %Q", "2023-05-01 18:00 Asia/Shanghai"), Ok(TEN));
    assert_eq!(as_said("%d.%m.%Y", "2023-05-01"), Err(Unread::NoTime));
    assert!("tomorrow".parse::<TimeFormat>().unwrap_err().contains("day-first"));

    let shanghai = TimeFormat::default().in_zone("Asia/Shanghai").unwrap();
    assert_eq!(parse("2023-05-01 18:00", &shanghai), Ok(TEN));
    assert_eq!(parse("202305011800", &shanghai), Ok(TEN));
    assert_eq!(parse("45047.75", &shanghai), Ok(TEN));
    assert_eq!(parse("2023-05-01T10:00:00Z", &shanghai), Ok(TEN));
    assert_eq!(parse("1682935200", &shanghai), Ok(TEN));
    assert!(TimeFormat::default().in_zone("Nowhere/City").is_err());
}
