//! Parquet as other systems write it: the types that have no like in text.

use std::fs;
use std::sync::Arc;

use crate::files::{Shop, count};

/// Writes a Parquet file with these columns, each from its type and a function that fills it.
fn parquet(path: &std::path::Path, compression: parquet::basic::Compression) {
    use half::f16;
    use parquet::data_type::{
        ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int32Type, Int64Type,
    };
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;

    let schema = "message rows {
        REQUIRED FIXED_LEN_BYTE_ARRAY(16) user_id (DECIMAL(38,0));
        REQUIRED BYTE_ARRAY item_id (STRING);
        REQUIRED INT32 timestamp (DATE);
        REQUIRED INT64 price (DECIMAL(18,2));
        REQUIRED FIXED_LEN_BYTE_ARRAY(2) quantity (FLOAT16);
    }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_compression(compression).build();
    let file = fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let fixed = |bytes: Vec<u8>| FixedLenByteArray::from(ByteArray::from(bytes));

    let mut column = group.next_column().unwrap().unwrap();
    let user = fixed(18_446_744_073_709_551_617_i128.to_be_bytes().to_vec());
    column.typed::<FixedLenByteArrayType>().write_batch(&[user], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&["i".into()], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int32Type>().write_batch(&[19_478], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&[250], None, None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let half = fixed(f16::from_f32(1.5).to_le_bytes().to_vec());
    column.typed::<FixedLenByteArrayType>().write_batch(&[half], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn parquet_with_decimals_halves_and_brotli() {
    use parquet::basic::Compression;

    for compression in [Compression::UNCOMPRESSED, Compression::BROTLI(Default::default())] {
        let shop = Shop::new();
        let path = shop.path("made.parquet");
        parquet(&path, compression);
        let (ok, report) = shop.import("log.parquet", fs::read(&path).unwrap(), &[]);
        assert!(ok, "{report}");
        let expected =
            ["18446744073709551617", "i", "purchase", "2023-05-01T00:00:00Z", "1.5", "2.5"];
        assert_eq!(shop.events(), [expected.map(str::to_owned)]);
    }
}

/// A day is one of some place, and no number that a format is needed for.
#[test]
fn a_typed_day_needs_no_format_and_is_one_of_the_zone_that_is_named() {
    let shop = Shop::new();
    let path = shop.path("made.parquet");
    parquet(&path, parquet::basic::Compression::UNCOMPRESSED);
    let options = ["--time-zone", "Asia/Shanghai", "--time-format", "unix"];
    let (ok, report) = shop.import("log.parquet", fs::read(&path).unwrap(), &options);
    assert!(ok, "{report}");
    assert_eq!(shop.events()[0][3], "2023-04-30T16:00:00Z");
}

/// Times that no calendar holds, in a column of a file that is else well.
#[test]
fn times_beyond_all_calendars_are_refused_by_name() {
    use parquet::data_type::{ByteArrayType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;

    let schema = "message rows {
        REQUIRED BYTE_ARRAY user_id (STRING);
        REQUIRED BYTE_ARRAY item_id (STRING);
        REQUIRED INT64 timestamp (TIMESTAMP(MICROS,true));
    }";
    let schema = Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let shop = Shop::new();
    let path = shop.path("made.parquet");
    let file = fs::File::create(&path).unwrap();
    let properties = Arc::new(WriterProperties::default());
    let mut writer = SerializedFileWriter::new(file, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for name in ["u", "i"] {
        let mut column = group.next_column().unwrap().unwrap();
        let values = [name.into(), name.into()];
        column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
    }
    let mut column = group.next_column().unwrap().unwrap();
    let times = [i64::MAX, 1_682_935_200_000_000];
    column.typed::<Int64Type>().write_batch(&times, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();

    let (ok, report) = shop.import("log.parquet", fs::read(&path).unwrap(), &[]);
    assert!(ok && count(&report, "events taken") == Some(1), "{report}");
    assert!(report.contains("refused: timestamp is neither text"), "{report}");
    assert_eq!(shop.events()[0][3], "2023-05-01T10:00:00Z");
}
