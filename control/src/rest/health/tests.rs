use super::*;

#[test]
fn a_report_names_each_check_and_never_why_it_failed() {
    let ok = || Some(Ok(()));
    let failed = || Some(Err("secret".to_owned()));
    let rows = [
        (
            vec![("ping", ok()), ("store", ok())],
            vec![],
            true,
            "[+]ping ok\n[+]store ok\nreadyz check passed\n",
        ),
        (
            vec![("ping", ok()), ("store", failed())],
            vec![],
            false,
            "[+]ping ok\n[-]store failed: reason withheld\nreadyz check failed\n",
        ),
        (
            vec![("ping", ok()), ("store", None)],
            vec!["store"],
            true,
            "[+]ping ok\n[+]store excluded: ok\nreadyz check passed\n",
        ),
        (
            vec![("ping", ok())],
            vec!["etcd", "x"],
            true,
            "[+]ping ok\nwarn: some health checks cannot be excluded: no matches for \"etcd\",\"x\"\nreadyz check \
             passed\n",
        ),
    ];
    for (results, excluded, is_healthy, text) in rows {
        let excluded: Vec<String> = excluded.into_iter().map(str::to_owned).collect();
        let report = report("readyz", &results, &excluded);
        assert_eq!((report.is_healthy, report.text.as_str()), (is_healthy, text));
    }
}
