//! The rule as tables: seconds since a beginning, and what comes of each attempt.

use super::*;

const LIMITS: ThrottleLimits = ThrottleLimits {
    guesses: Backoff {
        free: 3,
        first: TimeDelta::seconds(10),
        longest: TimeDelta::seconds(60),
    },
    address: bucket(5, 20),
    registrations: bucket(2, 30),
    challenges: bucket(2, 30),
    account: bucket(4, 10),
    everybody: bucket(8, 1),
};

const fn bucket(burst: u32, drain: i64) -> Bucket {
    Bucket {
        burst,
        drain: TimeDelta::seconds(drain),
    }
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(second)
}

fn second(moment: DateTime<Utc>) -> i64 {
    (moment - at(0)).num_seconds()
}

fn stranger(now: DateTime<Utc>) -> ThrottleState {
    ThrottleState {
        pair: Some(Counter::fresh(now)),
        address: Counter::fresh(now),
        account: Some(Counter::fresh(now)),
        everybody: Counter::fresh(now),
    }
}

/// Whoever fails again and again: what each attempt came to.
fn fails(
    kind: AttemptKind,
    state: &mut ThrottleState,
    seconds: &[i64],
) -> Vec<Result<(), (Scope, i64)>> {
    let attempt = |&second_: &i64| {
        let now = at(second_);
        let charged = LIMITS
            .charge(kind, state, now)
            .map_err(|refused| (refused.by, second(refused.until)))?;
        state.pair = charged.pair;
        state.address = charged.address;
        state.everybody = LIMITS.failed(Scope::Everybody, &state.everybody, now);
        let account = state.account;
        state.account = account.map(|it| LIMITS.failed(Scope::Account, &it, now));
        Ok(())
    };
    seconds.iter().map(attempt).collect()
}

#[test]
fn who_guesses_waits_twice_as_long_each_time_and_is_forgotten_in_the_end() {
    let mut pair = Counter::fresh(at(0));
    let backoff = LIMITS.guesses;
    // (when, until when it has to wait if it is refused)
    let table = [
        (0, None),
        (0, None),
        (1, None), // the third: 10 s
        (2, Some(11)),
        (10, Some(11)),
        (11, None), // 20 s
        (30, Some(31)),
        (31, None), // 40 s
        (70, Some(71)),
        (71, None), // 60 s, no more
        (130, Some(131)),
        (131, None),
        (191, None),
        // 60 s after the last wait it is still remembered, a second later it is not.
        (311, None),
        (370, Some(371)),
        (432, None),
        (432, None),
        (432, None),
        (433, Some(442)),
    ];

    for (now, wait) in table {
        let charged = backoff.charge(&pair, backoff.free, at(now));

        assert_eq!(charged.err().map(second), wait, "at {now}");
        pair = charged.unwrap_or(pair);
    }
}

#[test]
fn no_number_of_failures_overflows() {
    let backoff = LIMITS.guesses;
    for failures in [3, 4, 33, 34, 35, 63, 64, 65, 1000, u32::MAX] {
        let wait = backoff.wait_after(failures, 3);
        assert!(wait >= backoff.first && wait <= backoff.longest, "{wait}");
    }
    let full = Counter {
        failures: u32::MAX,
        ..Counter::fresh(at(0))
    };
    assert!(backoff.charge(&full, 3, at(0)).is_ok());
    let vast = Bucket {
        burst: u32::MAX,
        drain: TimeDelta::days(100_000_000),
    };
    assert!(bucket(1, 1).size() < vast.size());
}

#[test]
fn a_bucket_takes_a_burst_and_then_one_as_often_as_it_drains() {
    let mut counter = Counter::fresh(at(0));
    let bucket = bucket(3, 20);
    let table = [
        (0, None),
        (0, None),
        (0, None),
        (0, Some(20)),
        (19, Some(20)),
        (20, None),
        (20, Some(40)),
        (40, None),
        (99, None),
        (99, None),
        (99, Some(100)),
        (1000, None),
        (1000, None),
        (1000, None),
        (1000, Some(1020)),
    ];

    for (now, wait) in table {
        let charged = bucket.charge(&counter, at(now));

        assert_eq!(charged.err().map(second), wait, "at {now}");
        counter = charged.unwrap_or(counter);
    }
    counter = bucket.give_back(&counter);
    assert!(bucket.charge(&counter, at(1000)).is_ok());
}

#[test]
fn one_name_from_one_address_is_stopped_by_its_own_counter() {
    let mut eve = stranger(at(0));

    let told = fails(AttemptKind::LogIn, &mut eve, &[0, 0, 0, 0, 9, 10, 11]);

    let wait = |until| Err((Scope::Pair, until));
    // The account is under pressure by the fourth failure: the fifth waits twice as long at once.
    assert_eq!(
        told,
        [Ok(()), Ok(()), Ok(()), wait(10), wait(10), Ok(()), wait(30)]
    );
}

#[test]
fn many_names_from_one_address_are_stopped_by_the_address() {
    let now = at(0);
    let mut address = Counter::fresh(now);
    let mut taken = 0;
    for _ in 0..20 {
        let state = ThrottleState {
            address,
            ..stranger(now)
        };
        match LIMITS.charge(AttemptKind::LogIn, &state, now) {
            Ok(charged) => {
                address = charged.address;
                taken += 1;
            }
            Err(refused) => assert_eq!((refused.by, second(refused.until)), (Scope::Address, 20)),
        }
    }
    assert_eq!(taken, LIMITS.address.burst);
}

#[test]
fn a_name_that_is_attacked_from_everywhere_has_one_guess_left_at_each_new_address_and_always_one() {
    let now = at(0);
    let mut account = Counter::fresh(now);
    let mut everybody = Counter::fresh(now);
    for _ in 0..1000 {
        account = LIMITS.failed(Scope::Account, &account, now);
        everybody = LIMITS.failed(Scope::Everybody, &everybody, now);
    }
    let mut bot = ThrottleState {
        account: Some(account),
        everybody,
        ..stranger(now)
    };

    let told = fails(AttemptKind::LogIn, &mut bot, &[0, 0, 9]);

    let wait = |until| Err((Scope::Pair, until));
    assert_eq!(told, [Ok(()), wait(10), wait(10)]);
}

#[test]
fn where_a_name_succeeded_before_neither_the_address_nor_any_pressure_counts() {
    let now = at(0);
    let full = Counter {
        due_at: at(1_000_000),
        ..Counter::fresh(now)
    };
    let mut ana = ThrottleState {
        pair: Some(Counter::proven(at(-3600))),
        address: full,
        account: Some(full),
        everybody: full,
    };

    for kind in [AttemptKind::LogIn, AttemptKind::Proof] {
        let mut here = ana;
        assert_eq!(fails(kind, &mut here, &[0, 0, 0]), [Ok(()); 3]);
        assert_eq!(here.address, full, "nothing was charged to it");
    }
    // But not for ever, and her own failures count.
    ana.pair = Some(Counter::proven(at(-3600 * 24 * 91)));
    let told = fails(AttemptKind::LogIn, &mut ana, &[0]);
    assert!(matches!(told[..], [Err((Scope::Address, _))]), "{told:?}");
}

#[test]
fn a_proof_is_limited_by_account_also_where_each_comes_from_a_new_address() {
    let mut account = Counter::fresh(at(0));
    let mut taken = 0;
    for _ in 0..50 {
        let mut state = ThrottleState {
            account: Some(account),
            ..stranger(at(0))
        };
        let told = fails(AttemptKind::Proof, &mut state, &[0]);
        taken += u32::from(told == [Ok(())]);
        account = state.account.unwrap_or(account);
    }
    assert_eq!(taken, LIMITS.account.burst);
}

#[test]
fn what_succeeds_is_given_back_but_a_new_account() {
    let now = at(0);
    for (kind, taken) in [
        (AttemptKind::Refresh, 100),
        (AttemptKind::LogIn, 100),
        (AttemptKind::Register, 2),
    ] {
        let mut address = Counter::fresh(now);
        let mut ok = 0;
        for _ in 0..100 {
            let state = ThrottleState {
                address,
                pair: None,
                account: None,
                ..stranger(now)
            };
            if let Ok(charged) = LIMITS.charge(kind, &state, now) {
                address = LIMITS.succeeded(kind, &charged.address);
                ok += 1;
            }
        }
        assert_eq!(ok, taken, "{kind:?}");
    }
}

#[test]
fn one_ipv6_prefix_is_one_network_however_an_address_is_written() {
    let network = |text: &str| text.parse().map(Network::of).ok();
    for (one, other, same) in [
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("::ffff:192.0.2.1", "192.0.2.1", true),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
        ("::1", "127.0.0.1", false),
    ] {
        assert_eq!(network(one) == network(other), same, "{one} {other}");
    }
}
