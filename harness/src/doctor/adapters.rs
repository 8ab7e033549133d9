//! The adapters: that the store shows what was stored, that the clock moves and store time follows, that policies
//! can be set and taken back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use imspec_reports::record::{Field, StoredMessage, UtcTime};
use serde_json::Value;
use tokio::time::Instant;

use super::visit::{self, Visit};
use super::{Complaint, Doctor, advice};
use crate::catalogue::{PicsKey, PicsKeys, PicsType};
use crate::sut::clock::{micros, signed};
use crate::sut::instance::Instance;
use crate::sut::places::Places;
use crate::sut::profile::{Adapters, ClockAdapter, Profile, StoreAdapter};

/// How far the clock is moved at least.
const MOVED: Duration = Duration::from_mins(2);
/// How far it is moved at most, for a registration to lapse.
const FARTHEST: Duration = Duration::from_hours(2);
/// What a server may take between receiving a message and stamping it.
pub(super) const SLACK: Duration = Duration::from_secs(5);

impl Doctor<'_> {
    /// Puts the clock adapter in place, before the server starts: libfaketime must find its file. Where that fails
    /// the rest goes on without; gives whether there is a clock to try.
    pub(super) async fn clock_assembled(&mut self, sound: &mut Profile, places: &Places) -> bool {
        if !self.moves_clock() {
            return true;
        }
        let mut only = self.profile.clone();
        only.adapters = Adapters {
            clock: self.profile.adapters.clock.clone(),
            ..Adapters::none()
        };
        only.pixit.accounts = crate::sut::profile::Provision::None;
        only.pixit.targets.clear();
        let Err(why) = Instance::assemble(&only, places, None).await else {
            return true;
        };
        sound.adapters.clock = Adapters::none().clock;
        let key = match self.profile.adapters.clock {
            ClockAdapter::Faketime { .. } => {
                "`adapters.clock.faketime.file`: that its folder is there, and that imspec may write in it"
            }
            _ => "`adapters.clock`",
        };
        self.fails("clock", Complaint::new(why.what, &[key]));
        self.not_tried(
            &["clock moved", "store time"],
            "the clock adapter is not in place",
        );
        false
    }

    /// Reads the store of the recipient of a message.
    pub(super) async fn store(&mut self, instance: &Instance, visit: &Visit, text: Option<&str>) {
        let kind = match &self.profile.adapters.store {
            StoreAdapter::None => {
                return self
                    .not_promised("store", "a black box: what is stored is not demonstrated");
            }
            StoreAdapter::Control(_) => "control API",
            StoreAdapter::Program(_) => "program",
            StoreAdapter::Sql { .. } => "query",
            StoreAdapter::Imap { .. } => "mailbox",
        };
        let deadline = Instant::now() + self.profile.pixit.timers.store;
        let records = loop {
            match Self::records(instance, visit, "bob").await {
                None => return,
                Some(Err(why)) => {
                    let (why, check) = advice::of_store(&why);
                    return self.fails(
                        "store",
                        Complaint {
                            said: visit::shown(&why),
                            check,
                        },
                    );
                }
                Some(Ok(records)) if text.is_none() => {
                    let said = format!(
                        "the {kind} works ({} records); no message was there to be found",
                        records.len()
                    );
                    return self.ok("store", said);
                }
                Some(Ok(records)) if !records.is_empty() || Instant::now() >= deadline => {
                    break records;
                }
                Some(Ok(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        };
        let text = text.unwrap_or_default();
        let Some(record) = records
            .iter()
            .find(|record| says(record, text) != Some(false))
        else {
            return self.store_without(visit, kind, &records);
        };
        let (known, unknown, absent) = fields(record);
        let mut said = format!("the {kind} shows the message; known: {}", list(&known));
        if !absent.is_empty() {
            said = format!("{said}; absent: {}", list(&absent));
        }
        if !unknown.is_empty() {
            said = format!("{said}; unknown: {}", list(&unknown));
        }
        self.ok("store", said);
    }

    fn store_without(&mut self, visit: &Visit, kind: &str, records: &[StoredMessage]) {
        let account = visit
            .user("bob")
            .map(crate::scenario::CaseUser::uri)
            .unwrap_or_default();
        let within = self.profile.pixit.timers.store.as_secs_f64();
        let said = match records.len() {
            0 => format!(
                "the {kind} shows nothing for {account}, {within} s after a message for him was taken"
            ),
            number => format!(
                "the {kind} shows {number} records for {account}, and none has the body that was sent"
            ),
        };
        let which = match self.profile.adapters.store {
            StoreAdapter::Sql { .. } => {
                "`adapters.store.sql.query`: how the server writes an account (`:user`, `:domain`, `:account`), and in \
                 which database"
            }
            _ => {
                "`adapters.store`: which account it is asked for, and whether it looks at the server that is tested"
            }
        };
        self.fails(
            "store",
            Complaint::new(
                said,
                &[which, "`pixit.timers.store`, if the server writes later"],
            ),
        );
    }

    /// Reads the clock, moves it on, and looks whether store time follows.
    pub(super) async fn clock(&mut self, sound: &Profile, instance: &Arc<Instance>, talks: bool) {
        if !self.moves_clock() {
            self.not_promised("clock", "real time: waits are waited out");
            return;
        }
        let resolution = instance.clock.adapter().resolution().as_secs_f64();
        match instance.clock.measure().await {
            Ok(distance) => {
                let ahead = rounded(distance.us);
                self.ok(
                    "clock",
                    format!("read: {ahead} s ahead of ours, in steps of {resolution} s"),
                );
            }
            Err(why) => {
                let check = advice::of_program_or_url(&why, "adapters.clock");
                self.fails(
                    "clock",
                    Complaint {
                        said: visit::shown(&why),
                        check,
                    },
                );
                return self.not_tried(&["clock moved", "store time"], "the clock cannot be read");
            }
        }
        let visit = Visit::new(sound, instance).ok();
        let mut by = MOVED;
        let mut lapses = None;
        if let Some(visit) = visit.as_ref().filter(|_| talks) {
            // The first time was told; these are other users.
            let _ = instance.provision(visit.users()).await;
            let heard = visit.register("alice", Some(60)).await;
            let granted = heard.granted().filter(|_| heard.is_good());
            let far = granted.map(|granted| Duration::from_secs(granted + 30) + self.granularity());
            if let Some(far) = far.filter(|far| *far <= FARTHEST) {
                by = by.max(far);
                lapses = granted;
            }
        }
        if !self.clock_moved(instance, by).await {
            if let Some(visit) = visit {
                visit.leave().await;
            }
            return self.not_tried(&["store time"], "the clock does not move");
        }
        match &visit {
            Some(visit) if talks => self.store_time(instance, visit, lapses).await,
            _ => self.not_tried(&["store time"], "no message for later was taken"),
        }
        if let Some(visit) = visit {
            visit.leave().await;
        }
    }

    async fn clock_moved(&mut self, instance: &Instance, by: Duration) -> bool {
        let from = instance.clock.now().map_or_else(UtcTime::now, |now| now.at);
        let to = from.plus_us(signed(micros(by)));
        match instance.clock.advance(to).await {
            Ok((_, after)) if rounded(after.unix_us - to.unix_us) >= -1 => {
                self.ok("clock moved", format!("on by {} s", by.as_secs()));
                true
            }
            Ok((_, after)) => {
                let by = by.as_secs();
                let short = rounded(to.unix_us - after.unix_us);
                let said = format!("moved on by {by} s, and shows {short} s less than that");
                let check =
                    "`adapters.clock`: that the clock which is moved is the one that is read";
                self.fails("clock moved", Complaint::new(said, &[check]));
                false
            }
            Err(why) => {
                let check = advice::of_program_or_url(&why, "adapters.clock");
                self.fails(
                    "clock moved",
                    Complaint {
                        said: visit::shown(&why),
                        check,
                    },
                );
                false
            }
        }
    }

    /// Whether what the server does goes by the clock that was moved: it stamps a message with it, and a
    /// registration lapses.
    pub(super) async fn store_time(
        &mut self,
        instance: &Instance,
        visit: &Visit,
        lapses: Option<u64>,
    ) {
        let (mut follows, mut stays) = (Vec::new(), Vec::new());
        if let Some(granted) = lapses {
            let heard = visit.register("alice", None).await;
            if heard.is_good() {
                let gone = heard.header("Contact").is_none();
                let said = format!("a registration of {granted} s");
                if gone { &mut follows } else { &mut stays }.push(said);
            }
            visit.register("alice", Some(600)).await;
        }
        let text = format!("imspec doctor {:016x}", fastrand::u64(..));
        let taken = visit.message("alice", "carol", &text).await.is_good();
        let records = match Self::records(instance, visit, "carol").await {
            Some(Ok(records)) if taken => records,
            _ => Vec::new(),
        };
        let stamp = records
            .iter()
            .filter(|record| says(record, &text) != Some(false))
            .find_map(|record| record.received_at.known().copied());
        if let (Some(stamp), Some(now)) = (stamp, instance.clock.now()) {
            let margin = SLACK
                + Duration::from_millis(now.uncertainty_ms.into())
                + instance.clock.adapter().settle()
                + instance.clock.adapter().resolution();
            let apart = Duration::from_micros(stamp.unix_us.abs_diff(now.at.unix_us));
            let said = "the time at which a message was received".to_owned();
            if apart <= margin {
                &mut follows
            } else {
                &mut stays
            }
            .push(said);
        }
        visit.register("carol", Some(60)).await;
        visit
            .delivered(&text, self.profile.pixit.timers.quiet)
            .await;
        visit.register("carol", Some(0)).await;
        visit.register("alice", Some(0)).await;
        if !stays.is_empty() {
            let mut said = format!("the clock was moved, and {} did not follow", list(&stays));
            if !follows.is_empty() {
                said = format!("{said}, though {} did", list(&follows));
            }
            let check = "`adapters.clock`: it must move the time by which messages *and* registrations age; else \
                         declare `clock: real`";
            self.fails("store time", Complaint::new(said, &[check]));
        } else if follows.is_empty() {
            self.not_tried(
                &["store time"],
                "neither a registration nor the store shows the server's time",
            );
        } else {
            self.ok("store time", format!("follows: {}", list(&follows)));
        }
    }

    pub(super) fn granularity(&self) -> Duration {
        let declared = self.profile.pics.get("policy.granularity_s");
        Duration::from_secs(declared.and_then(Value::as_u64).unwrap_or(0))
    }

    /// Sets each key to another value, and takes it back.
    pub(super) async fn policy(&mut self, instance: &Instance) {
        let settable = instance.policy.settable().clone();
        if settable.is_empty() {
            return self.not_promised("policy", "what the provider may choose stays as it is");
        }
        let before = match instance.policy.read().await {
            Ok(before) => before,
            Err(why) => {
                let check = advice::of_program_or_url(&why, "adapters.policy");
                return self.fails(
                    "policy",
                    Complaint {
                        said: visit::shown(&why),
                        check,
                    },
                );
            }
        };
        let keys = PicsKeys::bundled().unwrap_or_default();
        let (mut good, mut firm) = (0, Vec::new());
        let (mut bad, mut left) = (Vec::new(), Vec::new());
        for name in &settable {
            let present = before.get(name).or_else(|| self.profile.pics.get(name));
            let Some(present) = present else {
                left.push(name.clone());
                continue;
            };
            let other = keys.get(name).and_then(|key| another(key, present));
            let other = other.unwrap_or_else(|| present.clone());
            match tried(instance, name, &other, present).await {
                Ok(took) => {
                    good += 1;
                    if !took {
                        firm.push(name.clone());
                    }
                }
                Err(why) => bad.push((name.clone(), why)),
            }
        }
        let mut unset = String::new();
        if !firm.is_empty() {
            unset = format!("; only the present value was taken of {}", list(&firm));
        }
        if !left.is_empty() {
            unset = format!(
                "{unset}; left alone, because nobody says what holds now: {}",
                list(&left)
            );
        }
        if let Some((_, first)) = bad.first() {
            let names: Vec<String> = bad.iter().map(|(name, _)| name.clone()).collect();
            let said = format!(
                "{} of {} keys cannot be set and taken back: {}; {}",
                bad.len(),
                settable.len(),
                list(&names),
                visit::shown(first)
            );
            let mut check = advice::of_program_or_url(first, "adapters.policy");
            check.push("`adapters.policy`: `settable` names only what it can set".into());
            return self.fails("policy", Complaint { said, check });
        }
        let what = if good == 1 { "key" } else { "keys" };
        self.ok("policy", format!("{good} {what} set and taken back{unset}"));
    }
}

/// Sets a key to another value and back. Whether it took the other one: some value may be more than this server
/// can be, and still the way to it works.
async fn tried(
    instance: &Instance,
    name: &str,
    other: &Value,
    present: &Value,
) -> Result<bool, String> {
    let one = |value: &Value| BTreeMap::from([(name.to_owned(), value.clone())]);
    let took = instance.policy.set(&one(other)).await.is_ok();
    let back = instance.policy.set(&one(present)).await;
    back.map(|()| took).map_err(|why| why.to_string())
}

/// Another value of a key than the present one.
fn another(key: &PicsKey, present: &Value) -> Option<Value> {
    others(key, present).into_iter().next()
}

/// Other values of a key than the present one.
pub(super) fn others(key: &PicsKey, present: &Value) -> Vec<Value> {
    let plain = key.values.iter().filter(|value| !value.contains('<'));
    match key.kind {
        PicsType::Choice => plain
            .map(|value| Value::from(value.clone()))
            .filter(|value| !crate::catalogue::pics::same(value, present))
            .collect(),
        PicsType::Set => plain
            .map(|value| Value::from(vec![value.clone()]))
            .filter(|value| value != present)
            .collect(),
        PicsType::Seconds | PicsType::Integer => {
            vec![Value::from(if *present == 60 { 61 } else { 60 })]
        }
        PicsType::List | PicsType::Regex => Vec::new(),
    }
}

/// Whether a record has that body; nothing where the body is unknown.
pub(super) fn says(record: &StoredMessage, text: &str) -> Option<bool> {
    match &record.body {
        Field::Unknown => None,
        Field::Absent => Some(false),
        Field::Known(body) => Some(visit::holds(&body.0, text)),
    }
}

/// The fields of a record by what is known of them.
fn fields(record: &StoredMessage) -> (Vec<String>, Vec<String>, Vec<String>) {
    let (mut known, mut unknown, mut absent) = (Vec::new(), Vec::new(), Vec::new());
    let mut sort = |name: &str, how: How| {
        match how {
            How::Known => &mut known,
            How::Unknown => &mut unknown,
            How::Absent => &mut absent,
        }
        .push(name.to_owned());
    };
    sort("account", how(&record.account));
    sort("message-id", how(&record.message_id));
    sort("mode", how(&record.mode));
    sort("request-uri", how(&record.start_line));
    let headers = match (record.headers.is_empty(), record.headers_complete) {
        (false, true) => ("headers (all)", How::Known),
        (false, false) => ("headers (some)", How::Known),
        (true, true) => ("headers", How::Absent),
        (true, false) => ("headers", How::Unknown),
    };
    sort(headers.0, headers.1);
    sort("body", how(&record.body));
    sort("received-at", how(&record.received_at));
    sort("mark", how(&record.expire));
    sort("state", how(&record.state));
    (known, unknown, absent)
}

#[derive(Clone, Copy)]
enum How {
    Known,
    Unknown,
    Absent,
}

fn how<T>(field: &Field<T>) -> How {
    match field {
        Field::Known(_) => How::Known,
        Field::Unknown => How::Unknown,
        Field::Absent => How::Absent,
    }
}

pub(super) fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    names.join(", ")
}

/// Whole seconds.
fn rounded(us: i64) -> i64 {
    us.saturating_add(us.signum() * 500_000) / 1_000_000
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn another_value_differs_and_is_allowed() {
        let keys = PicsKeys::bundled().unwrap();
        for (name, present) in [
            ("policy.expired", Value::from("delete")),
            ("expire.marking", Value::from("on")),
            ("expire.default.pm", Value::from(60)),
            ("store.modes", serde_json::json!(["pager", "session"])),
        ] {
            let key = keys.get(name).unwrap();
            let other = another(key, &present).unwrap();
            assert_ne!(other, present);
            assert_eq!(key.accepts(&other), Ok(()), "{name}");
        }
    }

    #[test]
    fn seconds_are_rounded_to_the_nearest() {
        assert_eq!([rounded(499_999), rounded(-1_600_000)], [0, -2]);
    }
}
