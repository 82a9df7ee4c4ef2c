use super::*;

#[test]
fn what_comes_from_outside_is_made_harmless() {
    assert_eq!(
        escape("<b title='x'>\"&"),
        "&lt;b title=&#39;x&#39;&gt;&quot;&amp;"
    );
}

#[test]
fn figures_that_are_no_numbers_are_dashes() {
    assert_eq!(
        (number(f64::NAN), number(0.5), percent(0.123)),
        ("–".into(), "0.500".into(), "12.3 %".into())
    );
}
