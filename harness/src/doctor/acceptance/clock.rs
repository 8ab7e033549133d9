//! What a run relies on in a clock adapter.

use std::sync::Arc;
use std::time::Duration;

use imspec_reports::record::UtcTime;

use super::super::visit;
use super::super::{Complaint, Doctor, advice};
use crate::sut::clock::{Distance, micros, signed};
use crate::sut::{Instance, Profile};

/// How far it is moved at first.
const FAR: Duration = Duration::from_mins(2);
/// Small moves in a row.
const SMALL: u32 = 3;
/// What a move and a measurement may take on a busy machine; a move that is short of it by this much is still one.
const SLACK: Duration = Duration::from_secs(2);

impl Doctor<'_> {
    pub(super) async fn accept_clock(&mut self, sound: &Profile, instance: &Arc<Instance>) {
        if !self.moves_clock() {
            return self.not_promised("clock", "real time: there is no adapter");
        }
        let rest = [
            "clock.runs",
            "clock.moves",
            "clock.adds",
            "clock.stays",
            "store time",
        ];
        let first = match instance.clock.measure().await {
            Ok(first) => first,
            Err(why) => {
                self.clock_fails("clock.reads", &why);
                return self.not_tried(&rest, "the clock is not read");
            }
        };
        let resolution = instance.clock.adapter().resolution();
        self.ok(
            "clock.reads",
            format!(
                "give or take {} ms, in steps of {} s",
                first.uncertainty_us.div_ceil(1000),
                resolution.as_secs_f64()
            ),
        );
        self.runs(instance, first, resolution).await;
        if !self.moves(instance).await {
            return self.not_tried(&rest[2..], "the clock does not move");
        }
        self.adds(instance, resolution).await;
        self.stays(instance).await;
        self.ages(sound, instance).await;
    }

    /// Between two moves it goes on like ours.
    async fn runs(&mut self, instance: &Instance, first: Distance, resolution: Duration) {
        let apart = Duration::from_micros(first.uncertainty_us * 4) + resolution * 2;
        let apart = apart.max(Duration::from_millis(500));
        tokio::time::sleep(apart).await;
        let second = match instance.clock.measure().await {
            Ok(second) => second,
            Err(why) => return self.clock_fails("clock.runs", &why),
        };
        let drift = second.us.abs_diff(first.us);
        let allowed = first.uncertainty_us + second.uncertainty_us + micros(apart) / 4;
        if drift <= allowed {
            return self.ok("clock.runs", "at the pace of ours");
        }
        let said = format!(
            "after {:.1} s it is {:.1} s further from ours than before",
            apart.as_secs_f64(),
            Duration::from_micros(drift).as_secs_f64()
        );
        let check = [
            "`adapters.clock`: the clock is moved, never stopped; it goes on by itself between two moves",
            "`adapters.clock`: `resolution` is its finest step: 1s, where it shows whole seconds",
        ];
        self.fails("clock.runs", Complaint::new(said, &check));
    }

    async fn moves(&mut self, instance: &Instance) -> bool {
        match moved(instance, FAR).await {
            Ok(by)
                if (by - i128::from(micros(FAR))).unsigned_abs() <= u128::from(micros(SLACK)) =>
            {
                self.ok(
                    "clock.moves",
                    format!("on by {} s, and shows it", FAR.as_secs()),
                );
                true
            }
            Ok(by) => {
                let said = format!(
                    "told to move on by {} s, it shows {} s more than before",
                    FAR.as_secs(),
                    seconds(by)
                );
                let check = [
                    "`adapters.clock`: `${by_ms}` are milliseconds *from now*, `${by_s}` seconds, `${to}` an instant",
                    "`adapters.clock`: that the clock which is moved is the one that is read, and that the move is done when the \
                     command ends",
                ];
                self.fails("clock.moves", Complaint::new(said, &check));
                false
            }
            Err(why) => {
                self.clock_fails("clock.moves", &why);
                false
            }
        }
    }

    /// Many small moves are one large one.
    async fn adds(&mut self, instance: &Instance, resolution: Duration) {
        let step = (resolution * 2).max(Duration::from_secs(3));
        let mut sum = 0;
        for _ in 0..SMALL {
            match moved(instance, step).await {
                Ok(by) => sum += by,
                Err(why) => return self.clock_fails("clock.adds", &why),
            }
        }
        let wanted = i128::from(micros(step)) * i128::from(SMALL);
        if (sum - wanted).unsigned_abs() <= u128::from(micros(SLACK + resolution * SMALL)) {
            let said = format!(
                "{SMALL} moves of {} s each are {} s",
                step.as_secs_f64(),
                seconds(wanted)
            );
            return self.ok("clock.adds", said);
        }
        let said = format!(
            "{SMALL} moves of {} s each are {} s",
            step.as_secs_f64(),
            seconds(sum)
        );
        let check =
            "`adapters.clock`: a move adds to those before; an offset that is *set* forgets them";
        self.fails("clock.adds", Complaint::new(said, &[check]));
    }

    /// An instant that is over moves nothing.
    async fn stays(&mut self, instance: &Instance) {
        let now = instance.clock.now().map_or_else(UtcTime::now, |now| now.at);
        let before = instance.clock.measure().await;
        let told = instance
            .clock
            .advance(now.plus_us(-signed(micros(FAR))))
            .await;
        let after = instance.clock.measure().await;
        match (before, told, after) {
            (Ok(before), Ok(_), Ok(after)) => {
                let back = before.us.saturating_sub(after.us);
                let allowed = signed(before.uncertainty_us + after.uncertainty_us + micros(SLACK));
                if back <= allowed {
                    return self.ok(
                        "clock.stays",
                        "an instant that is over does not set it back",
                    );
                }
                let said = format!(
                    "told to move to an instant that is over, it went back by {} s",
                    seconds(back.into())
                );
                let check = "`adapters.clock`: messages that expired must stay expired; a move to the past does nothing, and is no failure";
                self.fails("clock.stays", Complaint::new(said, &[check]));
            }
            (Err(why), ..) | (_, Err(why), _) | (.., Err(why)) => {
                self.clock_fails("clock.stays", &why);
            }
        }
    }

    /// The server goes by it.
    async fn ages(&mut self, sound: &Profile, instance: &Arc<Instance>) {
        let visit = match self.visit(sound, instance).await {
            Ok(visit) => visit,
            Err(why) => return self.not_tried(&["store time"], &why),
        };
        let granted = visit.register("alice", Some(60)).await.granted();
        let granted = granted.filter(|granted| *granted <= 7200);
        let by = FAR + Duration::from_secs(granted.unwrap_or(0)) + self.granularity();
        match moved(instance, by).await {
            Ok(_) => self.store_time(instance, &visit, granted).await,
            Err(why) => self.clock_fails("store time", &why),
        }
        visit.leave().await;
    }

    fn clock_fails(&mut self, what: &str, why: &str) {
        let check = advice::of_program_or_url(why, "adapters.clock");
        self.fails(
            what,
            Complaint {
                said: visit::shown(why),
                check,
            },
        );
    }
}

/// Moves the clock on, and tells by how many microseconds it is further from ours.
async fn moved(instance: &Instance, by: Duration) -> Result<i128, String> {
    let before = instance.clock.measure().await?;
    let to = UtcTime::now()
        .plus_us(before.us)
        .plus_us(signed(micros(by)));
    instance.clock.advance(to).await?;
    let after = instance.clock.measure().await?;
    Ok(i128::from(after.us) - i128::from(before.us))
}

/// Rounded to tenths of a second.
fn seconds(us: i128) -> f64 {
    let tenths = (us + us.signum() * 50_000) / 100_000;
    f64::from(i32::try_from(tenths).unwrap_or(i32::MAX)) / 10.0
}
