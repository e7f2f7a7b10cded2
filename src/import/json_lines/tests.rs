//! JSON Lines as systems write them.

use super::super::open::from_stream;
use super::*;

const REQUIRED: [Column; 3] = [Column::UserId, Column::ItemId, Column::Timestamp];

fn read(text: &[u8]) -> Vec<(u64, Result<Row, Refusal>)> {
    let text: &'static [u8] = text.to_vec().leak();
    let mut reader =
        from_stream("a.jsonl", Box::new(text), &Dialect::default(), &REQUIRED).unwrap();
    let mut row = Row::default();
    let mut rows = Vec::new();
    while let Some(result) = reader.next(&mut row).unwrap() {
        rows.push((row.line, result.map(|()| row.clone())));
    }
    rows
}

fn only(text: &str) -> Row {
    read(text.as_bytes()).swap_remove(0).1.unwrap()
}

#[test]
fn numbers_nulls_and_nonsense() {
    let rows = read(
        b"{\"user_id\": 7, \"item_id\": \"i\", \"timestamp\": 1.5, \"price\": null}\n\nnope\n{\"user_id\": 1}\n\
          {\"user_id\": [1], \"item_id\": \"i\", \"timestamp\": 1}\n\
          {\"user_id\": 1, \"item_id\": \"i\", \"timestamp\": 1, \"user_id\": 2}\n",
    );

    let text = |at: usize| rows[at].1.as_ref().unwrap().text();
    let reason = |at: usize| rows[at].1.as_ref().unwrap_err().reason.as_str();
    assert_eq!((rows[0].0, text(0)), (1, "user_id=\"7\" item_id=\"i\" timestamp=\"1.5\"".into()));
    assert_eq!((rows[1].0, reason(1)), (3, "the line is no JSON object"));
    assert_eq!((rows[2].0, reason(2)), (4, "a required column is missing"));
    let fault = rows[3].1.as_ref().unwrap().fault(Column::UserId).unwrap();
    assert_eq!(fault.reason, "user_id is neither text nor number");
    assert_eq!(reason(4), "a key occurs twice");
}

#[test]
fn ids_are_the_digits_as_they_stand() {
    for id in ["18446744073709551617", "1.10", "1.1", "9007199254740993", "1e3", "-0"] {
        let row = only(&format!("{{\"user_id\": {id}, \"item_id\": 1, \"timestamp\": 1}}"));
        assert_eq!(row.get(Column::UserId), Some(id));
    }
}

#[test]
fn a_mark_at_the_beginning_is_taken_off() {
    let rows = read("\u{feff}{\"user_id\":\"u\",\"item_id\":\"i\",\"timestamp\":1}\r\n".as_bytes());
    assert_eq!(rows[0].1.as_ref().unwrap().get(Column::UserId), Some("u"));
}

#[test]
fn lists_and_attributes() {
    let row = only(
        r#"{"user_id":"\u0041","item_id":1,"timestamp":1,"category":["a/b","c"],"tags":["x",null,2],
            "title":["no"],"attributes":{"colour":"red","size":7,"deep":{}},"attributes.fit":"slim"}"#
            .replace('\n', "")
            .as_str(),
    );

    assert_eq!(row.get(Column::UserId), Some("A"));
    assert_eq!(row.get(Column::Category), Some("a/b|c"));
    assert_eq!(row.get(Column::Tags), Some("x||2"));
    assert!(row.fault(Column::Title).is_some());
    let attributes: Vec<_> = row.attributes().collect();
    assert_eq!(attributes, [("fit", "slim"), ("colour", "red"), ("size", "7")]);
    assert_eq!(row.attribute_faults().count(), 1);
}

#[test]
fn bad_bytes_and_halves_of_characters_cost_their_field_alone() {
    let rows = read(b"{\"user_id\":\"u\",\"item_id\":\"i\",\"timestamp\":1,\"title\":\"\xff\"}\n");
    let row = rows[0].1.as_ref().unwrap();
    assert_eq!(row.get(Column::UserId), Some("u"));
    assert_eq!(row.fault(Column::Title).unwrap().reason, "title is not UTF-8");
    let row = only(r#"{"user_id":"u","item_id":"i","timestamp":1,"title":"\ud800"}"#);
    assert!(row.fault(Column::Title).is_some() && row.get(Column::ItemId) == Some("i"));
}

#[test]
fn what_is_no_json_but_is_written_costs_its_field_alone() {
    let row = only(
        r#"{"user_id":"NaN \\","item_id":"Infinity","timestamp":1,"price":NaN,"quantity":-Infinity}"#,
    );
    assert_eq!(row.get(Column::UserId), Some("NaN \\"));
    assert_eq!(row.get(Column::ItemId), Some("Infinity"));
    assert_eq!((row.get(Column::Price), row.get(Column::Quantity)), (Some("NaN"), Some("NaN")));
    // A mark may occur at any line where files were concatenated.
    let line = "\u{feff}{\"user_id\":\"u\",\"item_id\":\"i\",\"timestamp\":1}\n";
    assert!(read(line.repeat(2).as_bytes()).iter().all(|(_, row)| row.is_ok()));
}

#[test]
fn an_object_of_too_many_keys_is_refused_at_once() {
    let keys: String = (0..80_000).map(|n| format!("\"k{n}\":1,")).collect();
    let rows = read(format!("{{{keys}\"user_id\":1}}\n").as_bytes());
    assert_eq!(rows[0].1.as_ref().unwrap_err().reason, "the line is no JSON object");
}

#[test]
fn numbers_are_known_for_what_they_are() {
    let row = only(r#"{"user_id":1,"item_id":"i","timestamp":1,"price":2.500,"quantity":"2,5"}"#);
    assert!(row.is_number(Column::Price) && !row.is_number(Column::Quantity));
}
