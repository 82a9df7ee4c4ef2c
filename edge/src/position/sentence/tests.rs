use super::*;
use proptest::prelude::*;

/// `content` between `$` and its checksum.
fn sentence(content: &str) -> String {
    let sum = content.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("${content}*{sum:02X}\r\n")
}

fn heard(content: &str) -> Heard {
    parse(sentence(content).as_bytes()).unwrap()
}

fn at(latitude: f64, longitude: f64, quality: Option<FixQuality>) -> Option<Place> {
    Some(Place::At {
        latitude,
        longitude,
        quality,
    })
}

const RMC: &str = "GPRMC,162000.00,A,3830.7380,N,02837.5000,W,6.5,270.0,231126,,,A";

#[test]
fn rmc_gives_time_place_speed_and_course() {
    let s = heard(RMC);
    assert_eq!(s.time, Some(Timestamp(1_795_450_800_000)));
    assert!(s.time_is_checked);
    // 30.738' are 0.5123 degrees.
    let Some(Place::At {
        latitude,
        longitude,
        quality: None,
    }) = s.place
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
fn every_talker_is_heard() {
    for talker in ["GP", "GN", "GL", "GA", "GB", "II"] {
        let s = heard(&RMC.replace("GP", talker));
        assert!(matches!(s.place, Some(Place::At { .. })), "{talker}");
    }
}

#[test]
fn a_receiver_that_does_not_know_says_so_and_nothing_is_invented() {
    for content in [
        "GPRMC,162000.00,V,,,,,,,231126,,,N",
        "GPRMC,162000.00,V,3830.7380,N,02837.5000,W,6.5,270.0,231126,,,N",
        "GPRMC,162000.00,A,0000.0000,N,00000.0000,E,0.0,0.0,231126,,,A",
        "GPGGA,162000.00,,,,,0,00,99.99,,,,,,",
    ] {
        let s = heard(content);
        assert_eq!(s.place, Some(Place::Unknown), "{content}");
    }
    let v = heard("GPRMC,162000.00,V,,,,,9.9,9.9,231126,,,N");
    assert_eq!((v.time_is_checked, v.speed, v.course), (false, None, None));
}

#[test]
fn gga_says_what_the_fix_rests_on() {
    for (digit, quality) in [
        ('1', FixQuality::Satellites),
        ('2', FixQuality::Differential),
        ('4', FixQuality::Rtk),
        ('5', FixQuality::RtkFloat),
        ('6', FixQuality::Estimated),
        ('7', FixQuality::Manual),
        ('8', FixQuality::Simulated),
    ] {
        let s = heard(&format!(
            "GNGGA,162000.00,3330.0000,S,15115.0000,E,{digit},09,0.75,12.0,M,54.0,M,,"
        ));
        assert_eq!(s.place, at(-33.5, 151.25, Some(quality)));
        assert_eq!((s.satellites, s.hdop, s.time), (Some(9), Some(0.75), None));
    }
}

#[test]
fn the_mode_of_rmc_is_not_lost() {
    let mode = |letter: &str| match heard(
        &RMC.replace(",A*", "")
            .replace(",,,A", &format!(",,,{letter}")),
    )
    .place
    {
        Some(Place::At { quality, .. }) => quality,
        _ => None,
    };
    assert_eq!(mode("D"), Some(FixQuality::Differential));
    assert_eq!(mode("S"), Some(FixQuality::Simulated));
    assert_eq!(mode("E"), Some(FixQuality::Estimated));
    assert_eq!(
        heard(&RMC.replace(",,,A", ",,,N")).place,
        Some(Place::Unknown)
    );
}

#[test]
fn the_others_say_what_they_are_for() {
    let vtg = heard("GPVTG,054.7,T,034.4,M,005.5,N,010.2,K,A");
    assert_eq!(
        (vtg.course, vtg.speed, vtg.place),
        (Some(54.7), Some(5.5), None)
    );
    let hdt = heard("HEHDT,123.4,T");
    assert_eq!((hdt.heading, hdt.course), (Some(123.4), None));
    let zda = heard("GPZDA,162000.50,23,11,2026,00,00");
    assert_eq!(zda.time, Some(Timestamp(1_795_450_800_500)));
    assert!(
        !zda.time_is_checked,
        "a receiver without a fix sends its own clock, too"
    );
}

#[test]
fn what_is_not_read_is_passed_over() {
    for content in [
        "GPGSV,3,1,11,03,03,111,00,04,15,270,00",
        "PGRME,15.0,M,45.0,M,25.0,M",
        "PUBX,00",
        "GPRMCX,1",
    ] {
        assert_eq!(heard(content), Heard::default(), "{content}");
    }
    let ais = "!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C";
    assert_eq!(parse(ais.as_bytes()), Ok(Heard::default()));
}

#[test]
fn a_tag_block_is_passed_over() {
    let tagged = format!("\\s:gps1,c:1795450800*5A\\{}", sentence(RMC));
    assert_eq!(parse(tagged.as_bytes()), Ok(heard(RMC)));
}

#[test]
fn a_checksum_that_is_missing_or_wrong_is_noticed() {
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
fn numbers_that_cannot_be_are_left_out() {
    let s = heard("GPRMC,162000.00,A,9930.7380,N,02837.5000,W,-6.5,370.0,231126,,,A");
    assert_eq!(
        (s.place, s.speed, s.course),
        (Some(Place::Unknown), None, None)
    );
    let s = heard("GPVTG,nan,T,,M,inf,N,,K,A");
    assert_eq!((s.speed, s.course), (None, None));
}

/// Letters that occur in sentences, and some that do not.
fn content() -> impl Strategy<Value = String> {
    let kinds = prop::sample::select(vec!["GPRMC", "GNGGA", "GPVTG", "GPZDA", "HEHDT"]);
    (kinds, "[0-9A-Z,.eE+-]{0,80}").prop_map(|(kind, rest)| format!("{kind},{rest}"))
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&line);
    }

    #[test]
    fn a_sentence_of_any_content_is_read_or_refused_and_never_senseless(content in content()) {
        if let Ok(s) = parse(sentence(&content).as_bytes()) {
            if let Some(Place::At { latitude, longitude, .. }) = s.place {
                prop_assert!((-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude));
            }
            for angle in [s.course, s.heading].into_iter().flatten() {
                prop_assert!((0.0..=360.0).contains(&angle));
            }
        }
    }

    #[test]
    fn a_letter_changed_anywhere_is_noticed(at in 1usize..60, value in 0x20u8..0x7f) {
        let mut line = sentence(RMC).into_bytes();
        prop_assume!(line[at] != value);
        line[at] = value;
        prop_assert!(parse(&line).is_err());
    }
}
