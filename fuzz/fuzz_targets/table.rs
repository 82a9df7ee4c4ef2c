//! A table of photos, CSV or COCO's JSON, and the dates in it.
#![no_main]

use flukewatch_dataset::{CaptureDate, parse};
use flukewatch_fuzz::seeds;
use std::path::Path;

const BOXES: &str = "image,identity,width,height,x0,y0,x1,y1,date,encounter\n\
    a.jpg,HW-1,640,320,10,40,630.5,260,2024-06-19,e1\n\n\
    \"b, c.jpg\",unknown,,,,,,,2024:06:19 10:11:12,NA\n";
const WILDLIFE: &str = "image_id,identity,path,bbox,date,split\n\
    1,A,sub/a.jpg,\"[10.0, 40.0, 620.0, 220.0]\",19/06/2024,train\n\
    2,-1,sub\\b.jpg,,June 2024,test\n";
const SPREADSHEET: &str =
    "\u{feff}sep=;\r\nImage;Id;x0;y0;x1;y1\r\nCaitli\u{301}n.jpg;A;10,5;40;630;260\r\n;;;;;\r\n";

const COCO: &str = "{\"images\": [{\"id\": 1, \"file_name\": \"a.jpg\", \"width\": 640, \"height\": 320, \
    \"date_captured\": \"2024-06-19\", \"split\": \"train\"}],\n\"categories\": [{\"id\": 1, \"name\": \"fluke\"}],\n\
    \"annotations\": [\n{\"id\": 1, \"image_id\": 1, \"category_id\": 1, \"bbox\": [10, 40.5, 620, 220], \"name\": \"HW-1\"},\n\
    {\"id\": 2, \"image_id\": 1, \"iscrowd\": 0, \"attributes\": {\"identity\": null}}]}\n";

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| {
            let old = BOXES.replace('\n', "\r");
            let utf16: Vec<u8> = BOXES.encode_utf16().flat_map(u16::to_le_bytes).collect();
            [BOXES.into(), WILDLIFE.into(), SPREADSHEET.into(), COCO.into(), old.into(), utf16]
        });
    },
    |bytes: &[u8]| {
        let ends = bytes.iter().filter(|b| matches!(b, b'\n' | b'\r')).count() as u64;
        for split in [None, Some("train")] {
            match parse(Path::new("t.csv"), bytes, split) {
                Ok(lines) => {
                    assert!(lines.is_sorted_by_key(|l| l.line));
                    for line in &lines {
                        assert!((1..=ends + 1).contains(&line.line));
                        assert!(line.region.is_none_or(|r| r.x0 < r.x1 && r.y0 < r.y1));
                        let _ = line.date.as_ref().map(|d| d.parse::<CaptureDate>());
                    }
                }
                Err(e) => assert!(e.to_string().starts_with("t.csv:")),
            }
        }
    }
);
