use super::*;
use flukewatch_common::clock::Timestamp;
use proptest::prelude::*;

fn parsed(content: &str) -> Result<Option<NavUpdate>, MalformedSentence> {
    parse(&format!("${content}"), DateWindow::default())
}

fn update(content: &str) -> NavUpdate {
    parsed(content).unwrap().unwrap()
}

const NOON: ReportedTime = ReportedTime::Confirmed(Timestamp(1_795_450_800_000));

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
    assert_eq!(s.time, Some(NOON));
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
    assert_eq!((v.time, v.speed, v.course), (None, None, None));
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
    // A receiver without a fix sends its own clock, too.
    let time = ReportedTime::Unconfirmed(Timestamp(1_795_450_800_500));
    assert_eq!(zda.time, Some(time));
}

#[test]
fn headings_are_true_ones() {
    let heading = |content: &str| {
        let update = update(content);
        (update.heading, update.compass_heading)
    };
    assert_eq!(heading("GPTHS,123.4,A"), (Some(123.4), None));
    assert_eq!(heading("GPTHS,123.4,V"), (None, None), "not valid");
    assert_eq!(heading("GPTHS,,V"), (None, None));
    // Sensor, deviation, variation.
    for (content, expected) in [
        ("HCHDG,101.0,2.0,E,8.5,W", Some(94.5)),
        ("HCHDG,101.0,,,8.5,E", Some(109.5)),
        ("HCHDG,358.0,1.0,W,5.0,E", Some(2.0)),
        ("HCHDG,3.0,,,5.0,W", Some(358.0)),
        // Without a variation it is magnetic north.
        ("HCHDG,101.0,2.0,E,,", None),
        ("HCHDG,101.0,,,,", None),
        ("HCHDG,101.0", None),
        ("HCHDG,,,,8.5,W", None),
        ("HCHDG,101.0,2.0,,8.5,W", None),
        ("HCHDG,101.0,,,8.5,X", None),
        ("HCHDG,361.0,,,8.5,W", None),
    ] {
        assert_eq!(heading(content), (None, expected), "{content}");
    }
}

#[test]
fn gll_and_gns_have_positions() {
    let gll = update("GPGLL,3830.7380,N,02837.5000,W,162000.00,A,D");
    assert_eq!(
        gll.position,
        at(38.5123, -28.625, Some(FixQuality::Differential))
    );
    let old = update("GPGLL,3830.7380,N,02837.5000,W,162000.00,A");
    assert_eq!(old.position, at(38.5123, -28.625, None));
    for without in [
        "GPGLL,3830.7380,N,02837.5000,W,162000.00,V,N",
        "GPGLL,36000.0000,N,72000.0000,E,000452.981,V",
        "GPGLL,,,,,162000.00,V,N",
        "GPGLL,3728.0549,N,12213.8639,W,014413.076,N,V",
        "GNGNS,162000.00,,,,,NNNN,00,,,0.0,,0000",
        "GNGNS,162000.00,,,,,,00,,,0.0,,0000",
    ] {
        assert_eq!(
            update(without).position,
            Some(ReportedPosition::NoFix),
            "{without}"
        );
    }
    assert_eq!(
        update("GPGLL,3830.7380,N,02837.5000,W").position,
        None,
        "version 1.5 states no fix"
    );
    for (modes, quality) in [
        ("A", FixQuality::Autonomous),
        ("NDD", FixQuality::Differential),
        ("AANN", FixQuality::Autonomous),
        ("NNRF", FixQuality::Rtk),
        ("E", FixQuality::Estimated),
    ] {
        let gns = update(&format!(
            "GNGNS,120213.000,5957.0062,N,01100.6429,E,{modes},11,1.3,168.9,39.5,,,V"
        ));
        let Some(ReportedPosition::At { quality: read, .. }) = gns.position else {
            panic!("{gns:?}")
        };
        assert_eq!((read, gns.satellites), (Some(quality), Some(11)), "{modes}");
    }
}

#[test]
fn legal_sentences_of_other_versions_are_read() {
    for content in [
        "GPRMC,,V,,N,,E,,,,,,N",
        "GPRMC,,V,,,,,,,,,,N",
        "GPGGA,,,,,,0,00,99.99,,,,,,",
        "GPGLL,,,,,,V,N",
    ] {
        assert_eq!(
            update(content).position,
            Some(ReportedPosition::NoFix),
            "{content}"
        );
    }
    for end in ["4.3,,A", "4.3,E,A", ",W,A", "4.3", "", "4.3,E,A,V", "x,y,z"] {
        let s = update(&format!(
            "GPRMC,162000.000,A,3830.7380,N,02837.5000,W,6.5,270.0,231126,{end}"
        ));
        assert_eq!(
            (s.position, s.time),
            (at(38.5123, -28.625, None), Some(NOON)),
            "{end}"
        );
    }
    let long = "GNGGA,162000.000,3830.738000000,N,02837.500000000,W,4,32,0.7500,1234.567890,M,-54.123456,M,12.3456,0000,and,more";
    assert_eq!(
        update(long).position,
        at(38.5123, -28.625, Some(FixQuality::Rtk))
    );
    // Without a quality it states nothing.
    let silent = update("GPGGA,005947.00,3715.6616,N,12157.6709,W,,11,0.8,86.0,M,-30.1,M,,");
    assert_eq!(silent.position, None);
    let vtg = update("GPVTG,226,222,000.0,0000.0");
    assert_eq!((vtg.course, vtg.speed), (None, None));
}

#[test]
fn an_implausible_or_unreadable_date_leaves_the_position() {
    let time = |date: &str| {
        let s = update(&RMC.replace("231126", date));
        assert_eq!(s.position, at(38.5123, -28.625, None), "{date}");
        s.time
    };
    assert_eq!(time("2208-1"), Some(ReportedTime::Unreadable));
    assert_eq!(time(""), None);
    let Some(ReportedTime::Confirmed(utc)) = time("060180") else {
        panic!("unreadable")
    };
    assert!(utc.to_string().starts_with("1980-01-06T16:20"), "{utc}");
}

#[test]
fn other_sentences_are_ignored() {
    for content in [
        "GPGSV,3,1,11,03,03,111,00,04,15,270,00",
        "PGRME,15.0,M,45.0,M,25.0,M",
        "PARMC,1",
        "PUBX,00",
        "GPRMCX,1",
        "RMC,1",
        "",
    ] {
        assert_eq!(parsed(content), Ok(None), "{content}");
    }
    let ais = "!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0";
    assert_eq!(parse(ais, DateWindow::default()), Ok(None));
}

#[test]
fn a_fix_without_valid_coordinates_is_malformed() {
    for content in [
        "GPRMC,what,is,this",
        "GPRMC,162000.00,A,9930.7380,N,02837.5000,W,6.5,270.0,231126,,,A",
        "GPRMC,162000.00,A,3830.7380,,02837.5000,W,6.5,270.0,231126,,,A",
        "GPGGA,162000.00,3870.0000,N,02837.5000,W,1,09,0.75,12.0,M,54.0,M,,",
        "GPGGA,162000.00,3830.0000,N,02837.5000,W,x,09,0.75,12.0,M,54.0,M,,",
        "GPGLL,3830.7380,N,18037.5000,W,162000.00,A,A",
        "GNGNS,162000.00,3830.7380,N,,W,AA,09,0.75,12.0,54.0,,",
    ] {
        assert!(parsed(content).is_err(), "{content}");
    }
    let error = parsed("GPRMC,162000.00,A,9930.7380,N,02837.5000,W,,,231126,,,A").unwrap_err();
    assert_eq!(
        error.to_string(),
        "malformed sentence $GPRMC: invalid coordinates"
    );
}

#[test]
fn numbers_out_of_range_are_omitted() {
    let s = update("GPRMC,162000.00,A,3830.7380,N,02837.5000,W,-6.5,370.0,231126,,,A");
    assert_eq!((s.speed, s.course), (None, None));
    let s = update("GPVTG,nan,T,,M,inf,N,,K,A");
    assert_eq!((s.speed, s.course), (None, None));
}

/// Letters that occur in sentences, and some that do not.
fn content() -> impl Strategy<Value = String> {
    let kinds = prop::sample::select(vec![
        "GPRMC", "GNGGA", "GPGLL", "GNGNS", "GPVTG", "GPZDA", "HEHDT", "GPTHS", "HCHDG",
    ]);
    (kinds, "[0-9A-Z,.eE+-]{0,80}").prop_map(|(kind, rest)| format!("{kind},{rest}"))
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_rejected(text in any::<String>()) {
        let _ = parse(&text, DateWindow::default());
    }

    #[test]
    fn any_content_gives_valid_values_or_is_rejected(content in content()) {
        if let Ok(Some(s)) = parsed(&content) {
            if let Some(ReportedPosition::At { latitude, longitude, .. }) = s.position {
                prop_assert!((-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude));
            }
            for angle in [s.course, s.heading, s.compass_heading].into_iter().flatten() {
                prop_assert!((0.0..=360.0).contains(&angle));
            }
        }
    }

    #[test]
    fn leading_zeros_do_not_matter(degrees in 0u32..180, minutes in 0u32..60_000) {
        let (north, decimals) = (degrees / 2, f64::from(minutes) / 1000.0);
        let short = |degrees: u32| match degrees {
            0 => format!("{decimals:.3}"),
            _ => format!("{degrees}{decimals:06.3}"),
        };
        prop_assume!(minutes > 0);
        let gll = |latitude: String, longitude: String| update(&format!("GPGLL,{latitude},S,{longitude},E,1,A")).position;
        let full = gll(format!("{north:02}{decimals:06.3}"), format!("{degrees:03}{decimals:06.3}"));
        prop_assert_eq!(gll(short(north), short(degrees)), full);
        let Some(ReportedPosition::At { latitude, longitude, .. }) = full else { panic!("{full:?}") };
        prop_assert!((latitude + f64::from(north) + decimals / 60.0).abs() < 1e-9);
        prop_assert!((longitude - f64::from(degrees) - decimals / 60.0).abs() < 1e-9);
    }
}
