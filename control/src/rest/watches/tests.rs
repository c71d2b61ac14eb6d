use super::*;

#[test]
fn a_watch_has_a_place_if_there_is_one_for_its_user_and_one_at_all() {
    let mut count = Count::default();
    let rows = [
        ("+ann", "ok"),
        ("+ann", "ok"),
        ("+ann", "user \"ann\" has 2 watches"),
        ("+bob", "ok"),
        ("+cid", "there are 3 watches"),
        ("-ann", "ok"),
        ("+cid", "ok"),
        ("-bob", "ok"),
        ("+ann", "ok"),
        ("+ann", "user \"ann\" has 2 watches"),
    ];
    for (index, (step, expected)) in rows.into_iter().enumerate() {
        let (sign, user) = step.split_at(1);
        let said = match sign {
            "+" => count.add(user, 3, 2).err().unwrap_or_else(|| "ok".to_owned()),
            _ => {
                count.remove(user);
                "ok".to_owned()
            }
        };
        assert!(said.starts_with(expected), "{index} {step}: {said}");
    }
}

#[test]
fn users_without_watches_take_no_memory() {
    let watches = Watches::default();
    drop((watches.begin("ann").unwrap(), watches.begin("ann").unwrap()));
    let count = watches.count.lock();
    assert_eq!((count.total, count.by_user.len()), (0, 0));
}
