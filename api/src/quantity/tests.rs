//! Parsing, printing and arithmetic of quantities.

use super::{ParseQuantityError, Quantity};

fn quantity(text: &str) -> Quantity {
    Quantity::parse(text).unwrap_or_else(|err| panic!("{text}: {err}"))
}

#[test]
fn the_canonical_form_is_exact_and_short() {
    let rows = [
        ("0", "0"),
        ("0Gi", "0"),
        ("1000m", "1"),
        ("100m", "100m"),
        ("0.5", "500m"),
        ("1.5Gi", "1536Mi"),
        ("1024Mi", "1Gi"),
        ("1000Mi", "1000Mi"),
        ("0.1Ki", "102400m"),
        ("1Ki", "1Ki"),
        ("512", "512"),
        ("128974848", "128974848"),
        ("129e6", "129e6"),
        ("123000", "123k"),
        ("1e3", "1e3"),
        ("12e-1", "1200e-3"),
        ("1E", "1E"),
        ("1E3", "1e3"),
        ("-2", "-2"),
        ("+2", "2"),
        (".5", "500m"),
        ("5.", "5"),
        ("1n", "1n"),
        ("0.1n", "1n"),
        ("1.0000000001", "1000000001n"),
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9223372036854775807"),
        ("100E", "9223372036854775807"),
        ("1e999999", "9223372036854775807"),
        ("1e-999999", "1e-9"),
        ("0e999999", "0"),
        ("16Ei", "9223372036854775807"),
        ("000000100m", "100m"),
    ];
    for (text, canonical) in rows {
        assert_eq!(quantity(text).to_string(), canonical, "{text}");
    }
}

#[test]
fn printing_and_parsing_again_keeps_the_value() {
    for text in [
        "1",
        "3m",
        "17Ki",
        "1.25Gi",
        "7e7",
        "999n",
        "1023Ki",
        "1025",
        "12345678901",
    ] {
        let value = quantity(text);
        assert_eq!(quantity(&value.to_string()), value, "{text}");
    }
}

#[test]
fn what_is_no_quantity_is_refused_with_the_known_words() {
    use ParseQuantityError::{Format, Suffix};
    let long = "1".repeat(5000);
    let rows = [
        ("", Format),
        ("-", Format),
        (".", Format),
        ("abc", Format),
        ("1.2.3", Format),
        ("1 ", Format),
        ("1Gb", Format),
        ("ten", Format),
        ("1ki", Suffix),
        ("1KiKi", Suffix),
        ("1e", Suffix),
        ("1mm", Suffix),
        ("1i", Suffix),
        ("1-5", Suffix),
        ("1e99999999999999", Suffix),
        (long.as_str(), Format),
        ("٣", Format),
    ];
    for (text, error) in rows {
        assert_eq!(Quantity::parse(text), Err(error), "{text}");
    }
}

#[test]
fn values_round_away_from_zero() {
    let rows = [
        ("1", 1, 1000),
        ("100m", 1, 100),
        ("1500m", 2, 1500),
        ("-1500m", -2, -1500),
        ("1Ki", 1024, 1_024_000),
        ("1u", 1, 1),
        ("0", 0, 0),
    ];
    for (text, value, milli) in rows {
        assert_eq!(quantity(text).value(), value, "{text}");
        assert_eq!(quantity(text).milli_value(), milli, "{text}");
    }
    assert_eq!(quantity("9E").milli_value(), i64::MAX);
}

#[test]
fn comparing_and_adding_go_by_value() {
    assert_eq!(quantity("1000m"), quantity("1"));
    assert!(quantity("1Ki") > quantity("1k"));
    assert_eq!(quantity("1Gi").add(quantity("512Mi")).to_string(), "1536Mi");
    assert_eq!(Quantity::ZERO.add(quantity("1Gi")).to_string(), "1Gi");
    assert_eq!(quantity("1").sub(quantity("250m")).to_string(), "750m");
    assert_eq!(
        quantity("9E").add(quantity("9E")).to_string(),
        quantity("100E").to_string()
    );
    assert_eq!(Quantity::from_milli(1500).to_string(), "1500m");
    assert_eq!(Quantity::from_bytes(1 << 30).to_string(), "1Gi");
    assert_eq!(Quantity::from_value(2000).to_string(), "2k");
}
