#![allow(clippy::unwrap_used, unsafe_code, missing_docs)]
use flukewatch_common::bundle::Bundle;
use flukewatch_common::detector::Detector;
use flukewatch_common::embedder::Embedder;
use image::RgbImage;
fn rss(what: &str) {
    let s = std::fs::read_to_string("/proc/self/status").unwrap();
    let of = |k: &str| {
        s.lines()
            .find(|l| l.starts_with(k))
            .unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<f64>()
            .unwrap()
            / 1000.0
    };
    println!(
        "{what:<30} rss {:.1} anon {:.1} peak {:.1}",
        of("VmRSS"),
        of("RssAnon"),
        of("VmHWM")
    );
}
fn main() {
    let mode = std::env::args().nth(1).unwrap();
    rss("start");
    let bundle = Bundle::open(std::path::Path::new("models/humpback-lite0")).unwrap();
    rss("bundle");
    if mode.contains('e') {
        let mut e = Embedder::open(&bundle).unwrap();
        rss("embedder");
        let p = RgbImage::from_fn(640, 320, |x, y| image::Rgb([(x * y % 256) as u8; 3]));
        for _ in 0..3 {
            e.embed(&p, None).unwrap();
        }
        rss("embed");
        std::mem::forget(e);
    }
    let mut d = Detector::open(&bundle).unwrap().unwrap();
    rss("detector");
    let frame = RgbImage::from_fn(960, 540, |x, y| image::Rgb([(x * y % 256) as u8; 3]));
    let mut found = vec![];
    for _ in 0..5 {
        d.detect(&frame, &mut found).unwrap();
        rss("detect");
    }
    if mode.contains('t') {
        unsafe {
            unsafe extern "C" {
                fn malloc_trim(n: usize) -> i32;
            }
            malloc_trim(0);
        }
        rss("trim");
        d.detect(&frame, &mut found).unwrap();
        rss("detect");
    }
    let t = std::time::Instant::now();
    for _ in 0..50 {
        d.detect(&frame, &mut found).unwrap();
    }
    println!("{:.2} ms", t.elapsed().as_secs_f64() * 20.0);
    rss("detect 50");
}
