//! Whatever is given: nothing panics, and no secret is told.

use proptest::prelude::*;

use super::*;

/// One line or many, near to what settings look like or far from it.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,40}",
        "[-+0-9._eE]{0,20}(ns|us|ms|s|m|h|KiB|MB|/s)?",
        "https?://[a-z:@/?#.0-9,]{0,30}",
        "[\\[{][a-zA-Z\":,{}\\[\\]]{0,30}",
        Just("true".to_owned()),
    ]
}

proptest! {
    #[test]
    fn nothing_panics_and_nothing_leaks(
        values in proptest::collection::vec(any_value(), settings::all().count()),
        drop_some in any::<u64>(),
        secret in "[a-z]{4}",
    ) {
        // Nothing else in the inputs holds this text.
        let secret = format!("S3CR3T~{secret}");
        let environment: Vec<(&str, String)> = settings::all()
            .zip(values)
            .enumerate()
            .filter(|(i, _)| drop_some >> (i % 64) & 1 == 0)
            .map(|(_, (setting, value))| {
                let value = if setting.confidential { format!("{secret}{value}") } else { value };
                (setting.name, value)
            })
            .chain([("VCAP_SERVICES", format!("{{\"user-provided\":[{{\"credentials\":{{\"ADMIN_TOKEN\":\"{secret}\"}}}}]}}"))])
            .collect();
        let said = match Config::load(&Inputs::new(flags::FlagValues::default(), environment)) {
            Ok((config, warnings)) => {
                format!("{config:?} {warnings:?} {} {:?}", messages(&warnings).join(" "), render(config.show()))
            }
            Err(faults) => format!("{faults} {faults:?}"),
        };
        prop_assert!(!said.contains("S3CR3T"), "{}", said);
    }

    #[test]
    fn a_right_configuration_never_leaks(secret in "[!-~]{12,40}", tags in any::<bool>()) {
        let secret = format!("S3CR3T{secret}");
        let confidential = settings::all().filter(|setting| setting.confidential);
        let mut more: Vec<(&str, &str)> = confidential.map(|setting| (setting.name, secret.as_str())).collect();
        more.push(("PORT", "8080"));
        more.push(("ADD_TAGS", if tags { "true" } else { "false" }));
        let (config, warnings) = load(&more).unwrap();
        prop_assert_eq!(fixed(&config.hec.token), secret.as_str());
        let said = format!("{config:?} {warnings:?} {}", render(config.show()));
        prop_assert!(!said.contains("S3CR3T"), "{}", said);
    }
}
