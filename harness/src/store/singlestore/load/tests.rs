//! The statement as it is documented, and streams as other programs read them.

use super::*;
use crate::store::RowRef;

#[test]
fn the_statement_is_the_documented_one() {
    let plain = "LOAD DATA LOCAL INFILE '###.avro' INTO TABLE `odd ``name` FORMAT AVRO \
                 ( `topic` <- %::`topic`, `id` <- %::`id`, `record` <- %::`record` )";
    assert_eq!(load_data("odd `name", Compression::None), plain);
    assert!(load_data("t", Compression::Gzip).contains("INFILE '###.gz' "));
    assert!(load_data("t", Compression::Lz4).contains("INFILE '###.lz4' "));
}

#[test]
fn streams_are_compressed_as_their_names_say() {
    let rows: &[RowRef<'_>] = &[RowRef { topic: "t", id: "1", record: "{}" }; 500];
    let container = Container::of(&rows).unwrap();
    let written = |compression| {
        let mut bytes = Vec::new();
        compressed(&container, compression, &mut bytes).unwrap();
        bytes
    };
    let plain = written(Compression::None);
    let gzip = written(Compression::Gzip);
    assert_eq!(gzip[..2], [0x1f, 0x8b]);
    assert!(gzip.len() < plain.len() / 4);
    let mut read = Vec::new();
    io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut read).unwrap();
    assert!(read == plain, "gzip");
    let lz4 = written(Compression::Lz4);
    assert_eq!(lz4[..4], [0x04, 0x22, 0x4d, 0x18], "the magic number of an LZ4 frame");
    let mut read = Vec::new();
    io::Read::read_to_end(&mut lz4_flex::frame::FrameDecoder::new(&lz4[..]), &mut read).unwrap();
    assert!(read == plain, "lz4");
}
