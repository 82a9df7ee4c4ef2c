use super::{TableLine, parse};
use crate::DatasetError;
use flukewatch_common::pixel_box::PixelBox;
use std::path::Path;

fn read(text: &str) -> Result<Vec<TableLine>, String> {
    parse(Path::new("t.csv"), text.as_bytes(), None).map_err(|e| e.to_string())
}

fn lines(text: &str) -> Vec<TableLine> {
    read(text).unwrap()
}

fn error(text: &str) -> String {
    read(text).unwrap_err()
}

const BOX: Option<PixelBox> = Some(PixelBox {
    x0: 10,
    y0: 40,
    x1: 630,
    y1: 260,
});

#[test]
fn lines_are_counted_as_in_an_editor() {
    for (end, name) in [("\n", "LF"), ("\r\n", "CRLF"), ("\r", "CR")] {
        let table = |lines: &[&str]| lines.join(end) + end;
        let found = lines(&table(&[
            "image,identity",
            "a.jpg,A",
            "",
            "",
            "b.jpg,A",
            ",",
            "  ",
            "c.jpg,A",
        ]));
        let numbers: Vec<u64> = found.iter().map(|l| l.line).collect();
        assert_eq!(numbers, [2, 5, 8], "{name}");
        let quoted = table(&[
            "image,notes,identity",
            &format!("a.jpg,\"one{end}two\",A"),
            "b.jpg,,A",
        ]);
        assert_eq!(lines(&quoted)[1].line, 4, "{name}");
        let wrong = table(&[
            "",
            "image,identity,x0,y0,x1,y1",
            "a.jpg,W,,,,",
            "",
            "b.jpg,W,5,2,3,9",
        ]);
        assert_eq!(
            error(&wrong),
            "t.csv:5: box (5, 2)-(3, 9) is empty; expected x0 < x1 and y0 < y1",
            "{name}"
        );
        let without_end = ["image,identity", "", "a.jpg,"].join(end);
        assert!(error(&without_end).starts_with("t.csv:3: photo a.jpg has no identity"));
    }
}

#[test]
fn the_columns_of_other_projects_are_read() {
    let happywhale = lines("image,species,individual_id\na.jpg,humpback_whale,cadddb1636b9\n");
    assert_eq!(happywhale[0].identity, "cadddb1636b9");
    let wildlife = lines(
        "image_id,identity,path,bbox,date,split,orientation\n7,A,sub/a.jpg,\"[10.0, 40.0, 620.0, 220.0]\",2019-07-14 10:11:12,train,left\n8,B,sub/b.jpg,,,test,\n9,B,sub/c.jpg,nan,nan,test,\n",
    );
    assert_eq!(
        (wildlife[0].image.as_str(), wildlife[0].region),
        ("sub/a.jpg", BOX)
    );
    assert_eq!(wildlife[0].date.as_deref(), Some("2019-07-14 10:11:12"));
    assert_eq!((wildlife[2].region, &wildlife[2].date), (None, &None));
    let kaggle = lines("\u{feff}Image,Id\na.jpg,w_1\n");
    assert_eq!(kaggle[0].identity, "w_1");
    // A number per line is not an identity where there is one.
    assert_eq!(lines("id,path,identity\n1,a.jpg,A\n")[0].identity, "A");
}

#[test]
fn a_split_is_chosen() {
    let table = b"image,identity,split\na.jpg,A,train\nb.jpg,A,test\nc.jpg,A,Test\n";
    let read = |split| parse(Path::new("t.csv"), table, Some(split));
    let found: Vec<u64> = read("test").unwrap().iter().map(|l| l.line).collect();
    assert_eq!(found, [3, 4]);
    let error = read("val").unwrap_err().to_string();
    assert_eq!(
        error,
        "t.csv: no photo of split 'val'; found: Test, test, train"
    );
    let none = parse(
        Path::new("t.csv"),
        b"image,identity\na.jpg,A\n",
        Some("test"),
    );
    assert!(matches!(none, Err(DatasetError::NoSplit { .. })));
}

#[test]
fn tables_of_spreadsheets_are_read() {
    for text in [
        "image;identity;x0;y0;x1;y1\na.jpg;A;10,0;40,5;629,9;260\n",
        "sep=;\r\nimage;identity;x0;y0;x1;y1\r\na.jpg;A;10;40;630;260\r\n",
        "image\tidentity\tx0\ty0\tx1\ty1\na.jpg\tA\t10\t40\t630\t260\n",
        "\"image\",\"identity\",\"x0\",\"y0\",\"x1\",\"y1\"\n\"a.jpg\",\"A\",\"10\",\"40\",\"630\",\"260\",,\n",
    ] {
        assert_eq!(lines(text)[0].region, BOX, "{text}");
    }
    assert!(error("sep=;\nimage;identity\n\na.jpg;\n").starts_with("t.csv:4: "));
    assert!(
        error("sep=;\nimage;whale\n")
            .starts_with("t.csv:2: no column 'identity' in the header 'image,whale'")
    );
}

#[test]
fn other_encodings_are_named() {
    let error = |bytes: &[u8]| {
        parse(Path::new("t.csv"), bytes, None)
            .unwrap_err()
            .to_string()
    };
    let utf16: Vec<u8> = "\u{feff}image,identity\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(error(&utf16).contains("UTF-16"));
    assert!(error(&utf16[2..]).contains("UTF-16"));
    assert!(error(b"PK\x03\x04...").contains("spreadsheet"));
    assert_eq!(
        error(b"image,identity\r\na.jpg,A\r\nCaitl\xedn.jpg,A\r\n"),
        "t.csv:3: byte 0xed is not UTF-8; save the table as CSV UTF-8"
    );
}

#[test]
fn quotes_and_fields_must_match() {
    assert_eq!(
        error("image,identity,notes\na.jpg,A,\nb.jpg,A,\"two\nc.jpg,A,\nd.jpg,A,\n"),
        "t.csv:3: a quote (\") is opened and never closed"
    );
    assert!(
        error("image,identity,notes\na.jpg,\"A\nb.jpg,A\",\n")
            .starts_with("t.csv:2: the identity contains a line break")
    );
    assert!(
        error("image,identity\na.jpg,A,B\n").starts_with("t.csv:2: 3 fields, but the header has 2")
    );
    assert!(error("image,identity,date\na.jpg,A\n").starts_with("t.csv:2: 2 fields"));
    assert!(error("image,identity,Image\na.jpg,A,b\n").contains("column 'image' occurs twice"));
    assert_eq!(lines("image,identity,notes\na.jpg,A,5\" lens\n").len(), 1);
}

#[test]
fn names_are_composed() {
    let line = &lines("image,identity,encounter\nCaitli\u{301}n.jpg,A\u{301}gua,NA\n")[0];
    assert_eq!(
        (line.image.as_str(), line.identity.as_str(), &line.encounter),
        ("Caitl\u{ed}n.jpg", "\u{c1}gua", &None)
    );
}

#[test]
fn dates_are_not_read_yet() {
    assert_eq!(
        lines("image,identity,date\na.jpg,A,x\n")[0].date.as_deref(),
        Some("x")
    );
}

#[test]
fn the_size_matters_only_with_a_box() {
    let header = "image,identity,width,height,x0,y0,x1,y1\n";
    let read = |row: &str| super::tests::read(&format!("{header}{row}\n"));
    assert_eq!(
        read("a.jpg,A,640.0,320,10,40,630,260").unwrap()[0].size,
        Some((640, 320))
    );
    assert_eq!(read("a.jpg,A,,,10,40,630,260").unwrap()[0].size, None);
    assert_eq!(read("a.jpg,A,x,y,,,,").unwrap()[0].size, None);
    assert!(
        read("a.jpg,A,640,x,10,40,630,260")
            .unwrap_err()
            .starts_with("t.csv:2: height 'x'")
    );
}
