//! CSV as shops export it.

use super::super::open::from_stream;
use super::*;

const REQUIRED: [Column; 3] = [Column::UserId, Column::ItemId, Column::Timestamp];
const HEADER: &str = "user_id,item_id,timestamp,title\n";

fn open_with(dialect: &Dialect, text: &[u8]) -> Result<Box<dyn Reader>, String> {
    let text: &'static [u8] = text.to_vec().leak();
    from_stream("a.csv", Box::new(text), dialect, &REQUIRED)
}

fn read_all(mut reader: Box<dyn Reader>) -> Vec<(u64, Result<Row, Refusal>)> {
    let mut row = Row::default();
    let mut rows = Vec::new();
    while let Some(result) = reader.next(&mut row).unwrap() {
        rows.push((row.line, result.map(|()| row.clone())));
    }
    rows
}

/// The lines, with their values or why they are refused.
fn read(text: &[u8]) -> Vec<(u64, Result<String, String>)> {
    let rows = read_all(open_with(&Dialect::default(), text).unwrap());
    let plain = |(line, row): (u64, Result<Row, Refusal>)| {
        (line, row.map(|row| row.text()).map_err(|refusal| refusal.reason))
    };
    rows.into_iter().map(plain).collect()
}

fn titles(rows: &[(u64, Result<Row, Refusal>)]) -> Vec<Option<&str>> {
    rows.iter().map(|(_, row)| row.as_ref().unwrap().get(Column::Title)).collect()
}

fn row(title: &str) -> Result<String, String> {
    Ok(format!("user_id=\"u\" item_id=\"i\" timestamp=\"1\" title={title:?}"))
}

#[test]
fn quotes_separators_and_short_rows() {
    let rows = read(b"user_id,title,item_id,timestamp\nu,\"a, b\",i,1\nw\n");
    assert_eq!(rows[0], (2, row("a, b")));
    assert_eq!(rows[1], (3, Ok("user_id=\"w\"".into())));
    for separator in ["\t", ";", "|"] {
        let text = format!("{HEADER}u,i,1,t\n").replace(',', separator);
        assert_eq!(read(text.as_bytes()), [(2, row("t"))], "{separator:?}");
    }
    // A spreadsheet names its separator, and blank lines may come first.
    assert_eq!(read(b"sep=;\n\nuser_id;item_id;timestamp;title\nu;i;1;a,b\n"), [(4, row("a,b"))]);
    assert_eq!(read(b"\n\r\nuser_id,item_id,timestamp,title\nu,i,1,t"), [(4, row("t"))]);
}

#[test]
fn a_quote_that_is_never_closed_costs_its_line_and_no_other() {
    let mut text = format!("{HEADER}u,i,1,\"two\nlines\"\nu,i,2,\"12 INCH\n");
    (3..100).for_each(|n| text += &format!("u,i,{n},t\n"));
    text += "u,i,1,last";
    let rows = read(text.as_bytes());
    assert_eq!(rows.len(), 100);
    assert!(rows[0].1.as_ref().unwrap().contains("two\\nlines"));
    assert_eq!(rows[1], (4, Err("a quote is never closed".into())));
    assert_eq!(rows[2].0, 5);
    assert_eq!(rows[99].1, row("last"));
}

#[test]
fn two_stray_quotes_swallow_nothing_between_them() {
    let bad = Err("a quote is never closed".to_owned());
    let values = |text: &str| -> Vec<Result<String, String>> {
        read(format!("{HEADER}{text}").as_bytes()).into_iter().map(|(_, row)| row).collect()
    };

    // The second quote does not end the first: text follows it.
    assert_eq!(
        values("u,i,1,\"5 pipe\nu,i,1,\"6 pipe\nu,i,1,t\n"),
        [bad.clone(), bad.clone(), row("t")]
    );
    assert_eq!(values("u,i,1,\"5 pipe\nu,i,1,\"a, b\"\n"), [bad.clone(), row("a, b")]);

    // It may end the first, but belongs to a row of its own.
    assert_eq!(
        values("u,i,1,\"The Wall (LP)\nu,i,1,TV 15\"\nu,i,1,c\n"),
        [bad.clone(), row("TV 15\""), row("c")]
    );
    assert_eq!(
        values("u,i,1,\"5 pipe\nu,i,1,a\nu,i,1,b\nu,i,1,6\"\n"),
        [bad, row("a"), row("b"), row("6\"")]
    );

    // A long text is one cell, however many lines it has.
    let long: String = (0..200).map(|n| format!("line {n}, and more\n")).collect();
    let rows = values(&format!("u,i,1,\"{long}\"\nu,i,1,t\n"));
    assert!(rows.len() == 2 && rows[0].as_ref().unwrap().contains("line 199"), "{}", rows.len());
    assert_eq!(rows[1], row("t"));

    // Lines within a cell may look like rows, except the last one.
    let rows = values("u,i,1,\"Sizes:\na, b, c, d\nCotton\"\nu,i,1,t\n");
    assert!(rows.len() == 2 && rows[0].as_ref().unwrap().contains("Cotton"), "{rows:?}");
    let escaped = values("u,i,1,\"5\\\" x, 3\\\" y\"\n");
    assert_eq!(escaped, [Err("a backslash stands before a quote".to_owned())]);
    assert_eq!(values("u,i,1,t\n,,,\n , ,,\n"), [row("t")], "empty rows are none");

    // A megabyte of unclosed quotes is read in one pass; the lines that are put back are empty
    // rows.
    let quotes = format!("u,i,1,\"{}\n", "\"\"\n".repeat(300_000));
    assert_eq!(values(&quotes), [Err("a quote is never closed".to_owned())]);
}

#[test]
fn headers_of_several_lines_and_with_quoted_separators() {
    let text = b"user_id,\"a\nname\",item_id,timestamp,\"x;y;z;w;v\"\nu,x,i,1,2\n";
    assert_eq!(read(text), [(3, Ok("user_id=\"u\" item_id=\"i\" timestamp=\"1\"".into()))]);
    for line in ["SEP=;", "\"sep=;\"", "sep=;;;", "sep=;\r"] {
        let text = format!("{line}\nuser_id;item_id;timestamp;title\nu;i;1;a,b\n");
        assert_eq!(read(text.as_bytes()), [(3, row("a,b"))], "{line:?}");
    }

    // A quote within a name is text.
    assert_eq!(read(b"user_id,item_id,timestamp,size (\")\nu,i,1,5\"\nu,i,1,6\n").len(), 2);
    // The line end is determined at the header, whatever comes before it.
    for before in ["\n", "sep=,\n"] {
        let text = format!("{before}{}", format!("{HEADER}u,i,1,a\nu,i,1,b\n").replace('\n', "\r"));
        let rows: Vec<_> = read(text.as_bytes()).into_iter().map(|(_, row)| row).collect();
        assert_eq!(rows, [row("a"), row("b")], "{before:?}");
    }

    // A header whose quote is open at the end of the file.
    assert!(open_with(&Dialect::default(), b"user_id,\"item_id\n").is_err());
    let twice = open_with(&Dialect::default(), b"user_id,user_id,item_id,timestamp\n");
    assert!(twice.err().unwrap().contains("occurs twice"));
}

#[test]
fn the_last_line_is_read_as_any_other() {
    for line in ["u,i,1,5\" pipe", "u,i,1,\"a\"\"b\"", "u,i,1,\"two\nlines\"", "u,i,1,"] {
        let with_end = read(format!("{HEADER}{line}\n").as_bytes());
        assert_eq!(read(format!("{HEADER}{line}").as_bytes()), with_end, "{line}");
        assert!(with_end.len() == 1 && with_end[0].1.is_ok(), "{with_end:?}");
    }
    let open = read(format!("{HEADER}u,i,1,\"open").as_bytes());
    assert_eq!(open, [(2, Err("a quote is never closed".into()))]);
}

#[test]
fn a_carriage_return_is_text_or_a_line_end_and_loses_nothing() {
    // In a file with LF line ends it is text.
    assert_eq!(read(format!("{HEADER}u,i\r,1,t\n").as_bytes()).len(), 1);
    let rows = read_all(
        open_with(&Dialect::default(), b"user_id,item_id,timestamp,event\nu,i,2\r,view\n").unwrap(),
    );
    let first = rows[0].1.as_ref().unwrap();
    assert_eq!((first.get(Column::Timestamp), first.get(Column::Event)), (Some("2"), Some("view")));
    assert_eq!(read(format!("{HEADER}u,i,1,Old\rlamp\n").as_bytes()), [(2, row("Old\rlamp"))]);
    assert_eq!(
        read(format!("{HEADER}u,i,1,\"Old\rlamp\"\r\n").as_bytes()),
        [(2, row("Old\rlamp"))]
    );

    // Where the header ends with one, all lines do.
    for end in ["\r\n", "\r", "\r\r\n"] {
        let text = format!("{HEADER}u,i,1,a\nu,i,1,b\n").replace('\n', end);
        let rows = read(text.as_bytes());
        let values: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
        assert_eq!(values, [row("a"), row("b")], "{end:?}");
    }
}

#[test]
fn a_row_with_more_fields_than_the_header_is_refused_by_name() {
    let rows = read(format!("{HEADER}u,i,1,Tea, green\nu,i,1,t,,\nu,i,1,t\n").as_bytes());
    assert_eq!(rows[0].1, Err("the row has more fields than the header".into()));
    assert_eq!((&rows[1].1, &rows[2].1), (&row("t"), &row("t")));
}

#[test]
fn encodings_by_their_mark_by_name_or_with_a_hint() {
    let text = "user_id,item_id,timestamp,title\nu,i,1,茶é\n";
    let utf_16 = |bytes: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(bytes).collect()
    };
    for bytes in
        [utf_16(u16::to_le_bytes), utf_16(u16::to_be_bytes), format!("\u{feff}{text}").into_bytes()]
    {
        assert_eq!(read(&bytes), [(2, row("茶é"))]);
    }

    let unmarked = open_with(&Dialect::default(), &utf_16(u16::to_le_bytes)[2..]);
    assert!(unmarked.err().unwrap().contains("--encoding utf-16le"));

    let named =
        |name: &str| Dialect { encoding: Some(name.parse().unwrap()), ..Dialect::default() };
    let chinese = [HEADER.as_bytes(), b"u,i,1,\xb2\xe8\nu,i,1,\xff\n"].concat();
    let rows = read_all(open_with(&named("gb18030"), &chinese).unwrap());
    assert_eq!(titles(&rows), [Some("茶"), None]);
    let fault = rows[1].1.as_ref().unwrap().fault(Column::Title).unwrap();
    assert_eq!(fault.reason, "title is not in the encoding that is named");

    let latin = [HEADER.as_bytes(), b"u,i,1,caf\xe9\n"].concat();
    assert_eq!(titles(&read_all(open_with(&named("latin1"), &latin).unwrap())), [Some("café")]);
    let rows = read_all(open_with(&Dialect::default(), &latin).unwrap());
    let fault = rows[0].1.as_ref().unwrap().fault(Column::Title).unwrap();
    assert_eq!(fault.reason, "title is not UTF-8");
    assert!(fault.help.contains("--encoding"));
    let header = open_with(&Dialect::default(), b"user_id,\xc9,item_id\n");
    assert!(header.err().unwrap().contains("--encoding"));
    assert!("klingon".parse::<crate::import::encoding::Encoding>().is_err());
}

#[test]
fn a_line_that_is_too_long_costs_itself_alone() {
    let long = "x".repeat(MAX_LINE_BYTES + 10);
    let rows = read(format!("{HEADER}u,i,1,{long}\nu,i,1,t\n").as_bytes());
    assert_eq!(rows, [(2, Err("the line is longer than 1 MiB".into())), (3, row("t"))]);
    let text = format!("{HEADER}u,i,1,{long}\nu,i,1,t\n").replace('\n', "\r");
    assert_eq!(read(text.as_bytes()).len(), 2);
}

#[test]
fn a_file_cut_short_is_broken_and_gives_nothing_half() {
    use std::io::Write;

    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writeln!(gz, "user_id,item_id,timestamp").unwrap();
    (0..50_000).for_each(|n| writeln!(gz, "u{n},i,{n}").unwrap());
    let whole = gz.finish().unwrap();
    let cut: &'static [u8] = whole[..whole.len() / 2].to_vec().leak();
    let mut reader =
        from_stream("a.csv.gz", Box::new(cut), &Dialect::default(), &REQUIRED).unwrap();
    let mut row = Row::default();
    let mut last = 0;

    let broken = loop {
        match reader.next(&mut row) {
            Ok(Some(Ok(()))) => last += 1,
            Ok(other) => panic!("{other:?}"),
            Err(broken) => break broken,
        }
    };
    assert!(last > 10_000 && broken.row == last + 1, "{last} {broken}");
}

#[test]
fn an_unknown_ending_says_which_are_known() {
    let error = from_stream("a.xlsx", Box::new(&b""[..]), &Dialect::default(), &REQUIRED);
    assert!(error.err().unwrap().contains("csv, tsv, txt"));
    assert_eq!(open_with(&Dialect::default(), b"").err().unwrap(), "the file is empty");
}
