use super::*;
use proptest::prelude::*;

/// `content` with `$` and its checksum.
fn sentence(content: &str) -> String {
    let sum = content.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${content}*{sum:02X}\r\n")
}

fn update(content: &str) -> NavUpdate {
    parse(sentence(content).as_bytes()).unwrap()
}

fn at(latitude: f64, longitude: f64, quality: Option<FixQuality>) -> Option<ReportedPosition> {
    Some(ReportedPosition::At {
        latitude,
        longitude,
        quality,
    })
}

const RMC: &str = "GPRMC,162000.00,A,3830.7380,N,02837.5000,W,6.5,270.0,231126,,,A";

#[test]
fn rmc_has_time_position_speed_and_course() {
    let s = update(RMC);
    assert_eq!(s.time, Some(Timestamp(1_795_450_800_000)));
    assert!(s.time_is_valid);
    // 30.738' are 0.5123 degrees.
    let Some(ReportedPosition::At {
        latitude,
        longitude,
        quality: None,
    }) = s.position
    else {
        panic!("{s:?}")
    };
    assert!((latitude - 38.5123).abs() < 1e-9 && (longitude + 28.625).abs() < 1e-9);
    assert_eq!(
        (s.speed, s.course, s.heading),
        (Some(6.5), Some(270.0), None)
    );
}

#[test]
fn every_talker_is_accepted() {
    for talker in ["GP", "GN", "GL", "GA", "GB", "II"] {
        let s = update(&RMC.replace("GP", talker));
        assert!(
            matches!(s.position, Some(ReportedPosition::At { .. })),
            "{talker}"
        );
    }
}

#[test]
fn without_a_fix_there_is_no_position() {
    for content in [
        "GPRMC,162000.00,V,,,,,,,231126,,,N",
        "GPRMC,162000.00,V,3830.7380,N,02837.5000,W,6.5,270.0,231126,,,N",
        "GPRMC,162000.00,A,0000.0000,N,00000.0000,E,0.0,0.0,231126,,,A",
        "GPGGA,162000.00,,,,,0,00,99.99,,,,,,",
    ] {
        let s = update(content);
        assert_eq!(s.position, Some(ReportedPosition::NoFix), "{content}");
    }
    let v = update("GPRMC,162000.00,V,,,,,9.9,9.9,231126,,,N");
    assert_eq!((v.time_is_valid, v.speed, v.course), (false, None, None));
}

#[test]
fn gga_has_the_quality_of_the_fix() {
    for (digit, quality) in [
        ('1', FixQuality::Autonomous),
        ('2', FixQuality::Differential),
        ('4', FixQuality::Rtk),
        ('5', FixQuality::RtkFloat),
        ('6', FixQuality::Estimated),
        ('7', FixQuality::Manual),
        ('8', FixQuality::Simulated),
    ] {
        let s = update(&format!(
            "GNGGA,162000.00,3330.0000,S,15115.0000,E,{digit},09,0.75,12.0,M,54.0,M,,"
        ));
        assert_eq!(s.position, at(-33.5, 151.25, Some(quality)));
        assert_eq!((s.satellites, s.hdop, s.time), (Some(9), Some(0.75), None));
    }
}

#[test]
fn the_mode_of_rmc_is_its_quality() {
    let mode = |letter: &str| match update(
        &RMC.replace(",A*", "")
            .replace(",,,A", &format!(",,,{letter}")),
    )
    .position
    {
        Some(ReportedPosition::At { quality, .. }) => quality,
        _ => None,
    };
    assert_eq!(mode("D"), Some(FixQuality::Differential));
    assert_eq!(mode("S"), Some(FixQuality::Simulated));
    assert_eq!(mode("E"), Some(FixQuality::Estimated));
    assert_eq!(
        update(&RMC.replace(",,,A", ",,,N")).position,
        Some(ReportedPosition::NoFix)
    );
}

#[test]
fn vtg_hdt_and_zda_are_parsed() {
    let vtg = update("GPVTG,054.7,T,034.4,M,005.5,N,010.2,K,A");
    assert_eq!(
        (vtg.course, vtg.speed, vtg.position),
        (Some(54.7), Some(5.5), None)
    );
    let hdt = update("HEHDT,123.4,T");
    assert_eq!((hdt.heading, hdt.course), (Some(123.4), None));
    let zda = update("GPZDA,162000.50,23,11,2026,00,00");
    assert_eq!(zda.time, Some(Timestamp(1_795_450_800_500)));
    assert!(
        !zda.time_is_valid,
        "a receiver without a fix sends its own clock, too"
    );
}

#[test]
fn other_sentences_are_ignored() {
    for content in [
        "GPGSV,3,1,11,03,03,111,00,04,15,270,00",
        "PGRME,15.0,M,45.0,M,25.0,M",
        "PUBX,00",
        "GPRMCX,1",
    ] {
        assert_eq!(update(content), NavUpdate::default(), "{content}");
    }
    let ais = "!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C";
    assert_eq!(parse(ais.as_bytes()), Ok(NavUpdate::default()));
}

#[test]
fn a_tag_block_is_skipped() {
    let tagged = format!("\\s:gps1,c:1795450800*5A\\{}", sentence(RMC));
    assert_eq!(parse(tagged.as_bytes()), Ok(update(RMC)));
}

#[test]
fn a_missing_or_wrong_checksum_is_rejected() {
    let good = sentence(RMC);
    assert_eq!(
        parse(good.replace("3830", "3930").as_bytes()),
        Err(SentenceError::Checksum)
    );
    assert_eq!(
        parse(format!("${RMC}\r\n").as_bytes()),
        Err(SentenceError::Checksum)
    );
    assert_eq!(parse(b"$GPRMC,1*"), Err(SentenceError::Checksum));
    assert_eq!(parse(b"\xff\xfe\x00"), Err(SentenceError::Foreign));
    assert_eq!(parse(b"{\"class\":\"TPV\"}"), Err(SentenceError::Foreign));
    assert_eq!(
        parse(sentence("GPRMC,what,is,this").as_bytes()),
        Err(SentenceError::Malformed("RMC"))
    );
}

#[test]
fn numbers_out_of_range_are_omitted() {
    let s = update("GPRMC,162000.00,A,9930.7380,N,02837.5000,W,-6.5,370.0,231126,,,A");
    assert_eq!(
        (s.position, s.speed, s.course),
        (Some(ReportedPosition::NoFix), None, None)
    );
    let s = update("GPVTG,nan,T,,M,inf,N,,K,A");
    assert_eq!((s.speed, s.course), (None, None));
}

/// Letters that occur in sentences, and some that do not.
fn content() -> impl Strategy<Value = String> {
    let kinds = prop::sample::select(vec!["GPRMC", "GNGGA", "GPVTG", "GPZDA", "HEHDT"]);
    (kinds, "[0-9A-Z,.eE+-]{0,80}").prop_map(|(kind, rest)| format!("{kind},{rest}"))
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_rejected(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&line);
    }

    #[test]
    fn any_content_gives_valid_values_or_is_rejected(content in content()) {
        if let Ok(s) = parse(sentence(&content).as_bytes()) {
            if let Some(ReportedPosition::At { latitude, longitude, .. }) = s.position {
                prop_assert!((-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude));
            }
            for angle in [s.course, s.heading].into_iter().flatten() {
                prop_assert!((0.0..=360.0).contains(&angle));
            }
        }
    }

    #[test]
    fn a_changed_letter_is_rejected(at in 1usize..60, value in 0x20u8..0x7f) {
        let mut line = sentence(RMC).into_bytes();
        prop_assume!(line[at] != value);
        line[at] = value;
        prop_assert!(parse(&line).is_err());
    }
}
