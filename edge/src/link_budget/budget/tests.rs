use super::*;
use crate::time::ManualMonotonicClock;
use proptest::prelude::*;

const IRIDIUM: u64 = 30_000;

fn limits() -> HourlyLimits {
    LinkClass::ALL.map(|class| LinkProfile::of(class).bytes_per_hour)
}

fn clock() -> Arc<ManualMonotonicClock> {
    Arc::new(ManualMonotonicClock::new(MonotonicTimestamp(5_000_000)))
}

fn minutes(number: u64) -> Duration {
    Duration::from_secs(60 * number)
}

#[test]
fn without_a_limit_everything_is_permitted_and_counted() {
    let budget = LinkBudget::new(limits(), clock());
    assert_eq!(
        (budget.class(), budget.bytes_left()),
        (LinkClass::Harbour, None)
    );
    assert!(budget.take(Priority::Bundles, 1 << 40));
    budget.spend(5);
    let (class, total) = budget.totals()[0];
    assert_eq!((class, total), (LinkClass::Harbour, (1 << 40) + 5));
    // What was spent in harbour costs nothing out there.
    assert_eq!(budget.set_class(LinkClass::Iridium), LinkClass::Harbour);
    assert_eq!(budget.bytes_left(), Some(IRIDIUM));
}

#[test]
fn important_messages_have_bytes_left() {
    let budget = LinkBudget::new([Some(8_000); 5], clock());
    let fill = |priority| {
        let mut bytes = 0;
        while budget.take(priority, 100) {
            bytes += 100;
        }
        bytes
    };
    assert_eq!(fill(Priority::Clips), 2_000);
    assert_eq!(fill(Priority::Crops), 1_000);
    assert_eq!(fill(Priority::Bundles), 1_000);
    assert_eq!(fill(Priority::Pictures), 1_000);
    assert_eq!(fill(Priority::Sightings), 1_000);
    assert_eq!(fill(Priority::Identities), 1_000);
    assert_eq!(fill(Priority::Status), 1_000);
    assert_eq!(budget.bytes_left(), Some(0));
}

#[test]
fn a_class_carries_only_some_messages() {
    let budget = LinkBudget::new(limits(), clock());
    budget.set_class(LinkClass::Iridium);
    assert!(budget.permits(Priority::Status, 100) && budget.permits(Priority::Identities, 100));
    for priority in [Priority::Sightings, Priority::Pictures, Priority::Bundles] {
        assert!(!budget.permits(priority, 1) && !budget.take(priority, 1));
    }
    assert!(!budget.permits(Priority::Clips, 1));
    assert_eq!(budget.bytes_left(), Some(IRIDIUM));
    // Where a person asks for it, most of the hour is left to what is more important.
    assert!(budget.affords(Priority::Clips, 7_500));
    budget.spend(7_000);
    assert!(!budget.affords(Priority::Clips, 600) && budget.affords(Priority::Clips, 500));
}

#[test]
fn a_message_larger_than_its_share_is_sent_once_half_of_it_is_left() {
    let clock = clock();
    let budget = LinkBudget::new([Some(8_000); 5], clock.clone());
    budget.spend(3_000);
    assert!(!budget.take(Priority::Pictures, 100_000));
    clock.advance(minutes(30));
    budget.spend(100);
    clock.advance(minutes(31));
    assert!(budget.take(Priority::Pictures, 100_000));
    assert!(!budget.take(Priority::Status, 1));
    clock.advance(minutes(60));
    assert!(!budget.take(Priority::Status, 1));
    clock.advance(minutes(1));
    assert!(budget.take(Priority::Status, 1));
}

#[test]
fn a_restart_does_not_restore_the_budget() {
    let folder = tempfile::tempdir().unwrap();
    let clock = clock();
    let start = |clock: &Arc<ManualMonotonicClock>| {
        let budget = LinkBudget::open(limits(), clock.clone(), folder.path());
        budget.set_class(LinkClass::Iridium);
        budget
    };
    let budget = start(&clock);
    assert!(!budget.permits(Priority::Status, 1), "the file comes first");
    budget.save_when_due();
    assert!(budget.take(Priority::Status, 1_000));
    assert!(!budget.take(Priority::Status, 2_001), "of one minute");
    assert!(budget.take(Priority::Status, 2_000));
    budget.save_when_due();
    assert!(
        !budget.permits(Priority::Status, 1),
        "written once a minute"
    );
    clock.advance(minutes(1));
    budget.save_when_due();
    assert!(budget.take(Priority::Status, 500));
    budget.close();
    // In order: exactly what was spent. The computer was off, and its clock starts again.
    let clock = super::tests::clock();
    assert_eq!(start(&clock).bytes_left(), Some(IRIDIUM - 3_500));
    // Killed again and again, it spends no more than the limit.
    let mut spent = 0;
    for _ in 0..40 {
        clock.advance(Duration::from_secs(10));
        let budget = start(&clock);
        budget.save_when_due();
        while budget.take(Priority::Status, 100) {
            spent += 100;
        }
    }
    assert_eq!(spent, 26_500);
    clock.advance(minutes(62));
    assert_eq!(
        start(&clock).bytes_left(),
        Some(0),
        "time off does not count"
    );
}

#[test]
fn a_damaged_file_counts_as_spent_and_a_full_disk_silences_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("link-budget.json"), "{\"iridium\":[-1]}").unwrap();
    let clock = clock();
    let budget = LinkBudget::open(limits(), clock.clone(), folder.path());
    budget.set_class(LinkClass::Iridium);
    assert_eq!(budget.bytes_left(), Some(0));
    clock.advance(minutes(62));
    assert_eq!(budget.bytes_left(), Some(IRIDIUM));
    let budget = LinkBudget::open(limits(), clock, &folder.path().join("missing"));
    budget.set_class(LinkClass::Iridium);
    budget.save_when_due();
    assert!(budget.take(Priority::Status, 1_000));
}

#[test]
fn in_harbour_no_file_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let budget = LinkBudget::open(limits(), clock(), folder.path());
    budget.spend(1_000_000);
    budget.save_when_due();
    budget.close();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

proptest! {
    #[test]
    fn no_hour_has_more_than_the_limit_and_one_message(
        messages in proptest::collection::vec((0u64..600, 1u64..9_000, 0u8..7), 1..400),
    ) {
        const LIMIT: u64 = 20_000;
        let clock = clock();
        let budget = LinkBudget::new([Some(LIMIT); 5], clock.clone());
        let mut taken: Vec<(MonotonicTimestamp, u64)> = vec![];
        for (seconds, bytes, priority) in messages {
            clock.advance(Duration::from_secs(seconds));
            let priority = [
                Priority::Status,
                Priority::Identities,
                Priority::Sightings,
                Priority::Pictures,
                Priority::Bundles,
                Priority::Crops,
                Priority::Clips,
            ][usize::from(priority)];
            // Some are larger than the share of their priority.
            let bytes = if bytes > 8_900 { 4 * bytes } else { bytes };
            if budget.take(priority, bytes) {
                taken.push((clock.now(), bytes));
            }
        }
        for (number, (begin, _)) in taken.iter().enumerate() {
            let hour = taken[number..].iter().filter(|(at, _)| at.since(*begin) < minutes(60));
            let (sum, largest) = hour.fold((0, 0), |(sum, largest), (_, bytes)| {
                (sum + bytes, (*bytes).max(largest))
            });
            prop_assert!(sum <= LIMIT + largest, "{sum} bytes in an hour");
        }
    }
}
