//! The listener of one scale set, over the embedded world: it hears of every job, whatever happens to its session.

use std::sync::Arc;
use std::time::Duration;

use ghascale::config::{Credentials, Github};
use ghascale::engine::Scope;
use ghascale::github;
use ghascale::sandbox::{Dispatch, Fault, Moment, Sandbox, ScaleSetSettings, Scenario, Service};
use ghascale::scale_set::{Client, Heard, JobEvent, Listener, Message, Pauses, Room};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

const LINUX: [&str; 2] = ["self-hosted", "linux"];

/// A world with the scale set `linux`, and its listener.
struct Ear {
    sandbox: Sandbox,
    stop: watch::Sender<bool>,
    heard: mpsc::UnboundedReceiver<Heard>,
    task: JoinHandle<()>,
}

fn client(sandbox: &Sandbox) -> Arc<Client> {
    let settings = Github {
        url: sandbox.url(),
        scope: Scope::Organization("acme".into()),
        api_url: format!("{}/api/v3", sandbox.endpoint()),
        credentials: Credentials::Token(sandbox.token().to_owned().into()),
        ca_pem: None,
    };
    let (rate_limit, pause) = (Duration::from_secs(2), Duration::from_millis(1));
    let patience = github::Patience { rate_limit, pause, ..github::Patience::default() };
    let rest = github::Client::with_patience(&settings, patience).unwrap();
    Arc::new(Client::with_patience(Arc::new(rest), &settings, patience).unwrap())
}

async fn world() -> Sandbox {
    let sandbox = Sandbox::start(Scenario::Empty, 0).await.unwrap();
    {
        let mut world = sandbox.world();
        world.settings.boot = Duration::from_hours(1);
        world.settings.scale_sets.poll_hold = Duration::from_millis(200);
        world.scale_set("linux").labels(LINUX);
    }
    sandbox
}

fn listen(sandbox: Sandbox, capacity: u32) -> Ear {
    listen_with(sandbox, capacity, |_| {})
}

/// The same, with other pauses.
fn listen_with(sandbox: Sandbox, capacity: u32, change: impl FnOnce(&mut Pauses)) -> Ear {
    let (stop, stopping) = watch::channel(false);
    let (tell, heard) = mpsc::unbounded_channel();
    let short = Duration::from_millis(5);
    let mut pauses = Pauses {
        first: short,
        longest: short,
        refused: short,
        held: Duration::from_millis(20),
        given_up: Duration::from_secs(2),
        offers: Duration::from_millis(100),
    };
    change(&mut pauses);
    let listener = Listener {
        client: client(&sandbox),
        group: "Default".to_owned(),
        name: "linux".to_owned(),
        owner: "host-1".to_owned(),
        room: Arc::new(Room::new(capacity)),
        pauses,
    };
    let task = tokio::spawn(async move { listener.run(stopping, |heard| tell.send(heard).unwrap()).await });
    Ear { sandbox, stop, heard, task }
}

impl Ear {
    /// Opens a world in which something is wrong from the beginning, or not, and listens.
    async fn with(wrong: impl FnOnce(&mut ScaleSetSettings)) -> Self {
        let sandbox = world().await;
        wrong(&mut sandbox.world().settings.scale_sets);
        listen(sandbox, 9)
    }

    fn job(&self) {
        self.sandbox.world().repository("api").run().job(LINUX).lasting(Duration::from_hours(1));
    }

    /// Waits for something that it hears; what it hears before is gone.
    async fn until<T>(&mut self, wanted: impl Fn(&Heard) -> Option<T>) -> T {
        let mut before = Vec::new();
        let found = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                let heard = self.heard.recv().await.expect("it listens");
                if let Some(found) = wanted(&heard) {
                    return found;
                }
                before.push(format!("{heard:?}"));
            }
        });
        found.await.ok().unwrap_or_else(|| panic!("not heard within 20 s; heard: {before:#?}"))
    }

    async fn opened(&mut self) -> u64 {
        self.until(|heard| match heard {
            Heard::Opened { statistics, .. } => Some(statistics.assigned),
            _ => None,
        })
        .await
    }

    async fn message(&mut self) -> Message {
        self.until(|heard| match heard {
            Heard::Message { message, .. } => Some(message.clone()),
            _ => None,
        })
        .await
    }

    /// Puts a job in, and hears of it.
    async fn hears_of_a_job(&mut self) {
        self.job();
        self.until(|heard| match heard {
            // What a message counts that may have waited is not told.
            Heard::Message { message, .. } => {
                message.jobs.iter().any(|job| job.event == JobEvent::Assigned).then_some(())
            }
            Heard::Opened { statistics, .. } if statistics.assigned > 0 => Some(()),
            _ => None,
        })
        .await;
    }

    async fn stop(mut self) -> Sandbox {
        self.stop.send_replace(true);
        let closed = self.until(|heard| match heard {
            Heard::Closed(why) => Some(why.as_ref().map(ToString::to_string)),
            _ => None,
        });
        assert_eq!(closed.await, None);
        self.task.await.unwrap();
        self.sandbox
    }

    /// Returns whether a poll is under way.
    fn is_polling(&self) -> bool {
        let calls = self.sandbox.calls();
        let last = calls.iter().rfind(|call| call.method == "GET" && call.target.starts_with("/scalesets/message"));
        last.is_some_and(|call| call.status.is_none())
    }

    fn calls(&self, part: &str) -> usize {
        let is_it = |call: &&ghascale::sandbox::Call| {
            call.service == Service::Actions && format!("{} {}", call.method, call.target).contains(part)
        };
        self.sandbox.calls().iter().filter(is_it).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_opened_told_of_jobs_and_closed_at_the_end() {
    let mut ear = Ear::with(|_| {}).await;
    assert_eq!(ear.opened().await, 0);
    ear.job();
    let message = ear.message().await;
    assert_eq!((message.statistics.unwrap().assigned, &message.jobs[0].event), (1, &JobEvent::Assigned));
    // It is acknowledged, and does not come again.
    ear.job();
    assert!(ear.message().await.id > message.id);
    assert!(ear.sandbox.world().session_owner("linux").is_some());
    let sandbox = ear.stop().await;
    assert_eq!(sandbox.world().session_owner("linux"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_without_news_are_heard_too() {
    let mut ear = Ear::with(|settings| settings.poll_hold = Duration::from_millis(5)).await;
    ear.opened().await;
    for _ in 0..3 {
        ear.until(|heard| matches!(heard, Heard::Idle).then_some(())).await;
    }
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_while_opening_is_tried_again() {
    for wrong in [
        (|settings: &mut ScaleSetSettings| settings.empty_queue_urls = 2) as fn(&mut ScaleSetSettings),
        |settings| settings.sessions_without_statistics = 2,
        |settings| settings.sets_not_found = 3,
        |settings| settings.service_moves = 2,
    ] {
        let mut ear = Ear::with(wrong).await;
        ear.opened().await;
        ear.hears_of_a_job().await;
        ear.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_while_polling_loses_no_job() {
    for wrong in [
        (|settings: &mut ScaleSetSettings| settings.empty_polls = 3) as fn(&mut ScaleSetSettings),
        |settings| settings.cut_polls = 3,
        |settings| settings.forbidden_polls = 2,
        |settings| settings.expired_sessions = 2,
        |settings| settings.forgotten_sessions = 2,
        |settings| settings.byte_order_mark = true,
        |settings| settings.nulls = true,
        |settings| settings.queue_token_lives = Duration::ZERO,
    ] {
        let mut ear = Ear::with(|_| {}).await;
        ear.opened().await;
        wrong(&mut ear.sandbox.world().settings.scale_sets);
        ear.hears_of_a_job().await;
        ear.sandbox.world().settings.scale_sets.queue_token_lives = Duration::from_hours(1);
        ear.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_token_that_expires_is_renewed_in_the_same_session() {
    let mut ear = Ear::with(|_| {}).await;
    ear.opened().await;
    // While a poll is held its session is never lost, however far time is advanced.
    ear.until(|heard| matches!(heard, Heard::Idle).then_some(())).await;
    ear.sandbox.world().settings.scale_sets.session_idle = Duration::from_hours(24);
    ear.sandbox.advance(Duration::from_hours(2));
    ear.until(|heard| matches!(heard, Heard::Refreshed).then_some(())).await;
    ear.hears_of_a_job().await;
    assert_eq!(ear.calls("POST /_apis/runtime/runnerscalesets/1/sessions"), 1);
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_another_holds_is_said_and_waited_for() {
    let sandbox = world().await;
    sandbox.world().scale_set("linux").listened(3);
    let mut ear = listen(sandbox, 9);
    let why = ear.until(|heard| match heard {
        Heard::Held { why, .. } => Some(why.to_string()),
        _ => None,
    });
    assert!(why.await.contains("409 RunnerScaleSetSessionConflictException"));
    ear.sandbox.world().scale_set("linux").without_session();
    ear.opened().await;
    ear.hears_of_a_job().await;
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_vanishes_is_found_again_by_its_name() {
    let mut ear = Ear::with(|_| {}).await;
    ear.opened().await;
    ear.sandbox.world().scale_set("linux").vanish();
    ear.until(|heard| matches!(heard, Heard::Lost(_)).then_some(())).await;
    let why = ear.until(|heard| match heard {
        Heard::Unavailable(why) => Some(why.clone()),
        _ => None,
    });
    assert_eq!(why.await, "there is no scale set `linux` in runner group `Default`");
    ear.sandbox.world().scale_set("linux").labels(LINUX);
    ear.opened().await;
    ear.hears_of_a_job().await;
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_down_is_tried_until_it_is_back() {
    let mut ear = Ear::with(|_| {}).await;
    ear.opened().await;
    ear.sandbox.fault(Fault::actions("").status(503).times(30));
    ear.until(|heard| matches!(heard, Heard::Trouble(_)).then_some(())).await;
    ear.hears_of_a_job().await;
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_are_refused_are_tried_again_too() {
    let sandbox = world().await;
    sandbox.fault(Fault::github("registration-token").status(401).times(5));
    let mut ear = listen(sandbox, 9);
    for _ in 0..3 {
        ear.until(|heard| matches!(heard, Heard::Unavailable(why) if why.contains("401")).then_some(())).await;
    }
    // The refusal is remembered for a while, so that nobody hammers GitHub; it goes on all the same.
    assert!(!ear.task.is_finished());
    ear.stop.send_replace(true);
    ear.task.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refusal_of_the_credentials_costs_seconds() {
    let sandbox = world().await;
    sandbox.fault(Fault::github("registration-token").status(403));
    let mut ear = listen(sandbox, 9);
    ear.until(|heard| matches!(heard, Heard::Unavailable(why) if why.contains("403")).then_some(())).await;
    tokio::time::timeout(Duration::from_secs(8), ear.opened()).await.unwrap();
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_can_not_be_read_is_acknowledged_after_five_tries() {
    let mut ear = Ear::with(|_| {}).await;
    ear.opened().await;
    // The world counts its own messages from the next number on.
    let poison = r#"{"messageId": 100000000, "messageType": "RunnerScaleSetJobMessages", "body": "#;
    ear.sandbox.fault(Fault::actions("GET /scalesets/message").status(200).body(poison).times(5));
    let id = ear.until(|heard| match heard {
        Heard::Poison { id, .. } => Some(*id),
        _ => None,
    });
    assert_eq!(id.await, 100_000_000);
    ear.hears_of_a_job().await;
    assert_eq!(ear.calls("DELETE /scalesets/message/100000000"), 1);
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_without_an_id_costs_the_session_and_no_more() {
    let mut ear = Ear::with(|_| {}).await;
    ear.opened().await;
    ear.sandbox.fault(Fault::actions("GET /scalesets/message").status(200).body("<html>").times(5));
    ear.until(|heard| matches!(heard, Heard::Lost(_)).then_some(())).await;
    ear.opened().await;
    ear.hears_of_a_job().await;
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_can_not_be_acknowledged_comes_again_and_harms_nobody() {
    let mut ear = Ear::with(|_| {}).await;
    ear.opened().await;
    ear.sandbox.fault(Fault::actions("DELETE /scalesets/message").status(500).times(9));
    ear.job();
    let first = ear.message().await;
    ear.until(|heard| matches!(heard, Heard::Trouble(_)).then_some(())).await;
    // It comes again, as it was: that is no news.
    ear.job();
    assert!(ear.message().await.id > first.id);
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_on_offer_are_acquired_up_to_what_may_run() {
    let sandbox = world().await;
    sandbox.world().settings.scale_sets.dispatch = Dispatch::Acquire;
    let mut ear = listen(sandbox, 2);
    ear.opened().await;
    for _ in 0..5 {
        ear.job();
    }
    ear.until(|heard| match heard {
        Heard::Message { message, .. } => message.statistics.filter(|counts| counts.assigned == 2).map(drop),
        _ => None,
    })
    .await;
    ear.sandbox.advance(Duration::from_mins(2));
    ear.job();
    ear.message().await;
    let counts = ear.sandbox.world().statistics_of("linux").unwrap();
    assert_eq!((counts.assigned, counts.available), (2, 4), "what may not run is left to others");
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_trouble_too_no_more_is_acquired_than_may_run() {
    let sandbox = world().await;
    sandbox.world().settings.scale_sets.dispatch = Dispatch::Acquire;
    let mut ear = listen(sandbox, 2);
    ear.opened().await;
    for _ in 0..2 {
        ear.job();
    }
    ear.until(|heard| match heard {
        Heard::Message { message, .. } => message.statistics.filter(|counts| counts.assigned == 2).map(drop),
        _ => None,
    })
    .await;
    // What a message counts that has waited is not told, but it is true of what the set has.
    ear.sandbox.fault(Fault::actions("GET /scalesets/message").status(503).times(3));
    ear.until(|heard| matches!(heard, Heard::Trouble(_)).then_some(())).await;
    for _ in 0..3 {
        ear.job();
    }
    ear.until(|heard| matches!(heard, Heard::Idle).then_some(())).await;
    let counts = ear.sandbox.world().statistics_of("linux").unwrap();
    assert_eq!((counts.assigned, counts.available), (2, 3));
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acquisition_that_is_refused_does_not_keep_later_messages_away() {
    let sandbox = world().await;
    sandbox.world().settings.scale_sets.dispatch = Dispatch::Acquire;
    let mut ear = listen(sandbox, 9);
    ear.opened().await;
    ear.sandbox.fault(Fault::actions("acquirejobs").status(400));
    ear.job();
    ear.until(|heard| matches!(heard, Heard::Trouble(_)).then_some(())).await;
    ear.job();
    let granted = ear.until(|heard| match heard {
        Heard::Acquired { granted, .. } => Some(*granted),
        _ => None,
    });
    assert_eq!(granted.await, 1);
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_always_refuses_is_not_hammered() {
    let mut ear = Ear::with(|settings| settings.forbidden_polls = 100_000).await;
    // Each try takes one session; the pauses between them double up to the longest.
    for _ in 0..6 {
        ear.until(|heard| matches!(heard, Heard::Lost(_)).then_some(())).await;
    }
    let tried = ear.calls("POST /_apis/runtime/runnerscalesets/1/sessions");
    assert!(tried <= 8, "{tried}");
    ear.sandbox.world().settings.scale_sets.forbidden_polls = 0;
    ear.hears_of_a_job().await;
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_that_may_have_waited_are_not_told() {
    // What is answered sooner than this after trouble may have waited: a busy machine takes a while to ask.
    let mut ear = listen_with(world().await, 9, |pauses| pauses.first = Duration::from_secs(1));
    ear.opened().await;
    ear.job();
    assert!(ear.message().await.statistics.is_some());
    ear.sandbox.fault(Fault::actions("GET /scalesets/message").status(503).times(5));
    ear.until(|heard| matches!(heard, Heard::Trouble(_)).then_some(())).await;
    ear.job();
    assert!(ear.message().await.statistics.is_none());
    ear.until(|heard| matches!(heard, Heard::Idle).then_some(())).await;
    ear.job();
    assert!(ear.message().await.statistics.is_some(), "the queue was empty in between");
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_no_news_and_said() {
    let mut ear = Ear::with(|settings| settings.empty_polls = 5).await;
    ear.opened().await;
    ear.until(|heard| matches!(heard, Heard::Silence(5)).then_some(())).await;
    ear.until(|heard| matches!(heard, Heard::Idle).then_some(())).await;
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acquisition_that_fails_is_asked_for_again_with_the_message() {
    let sandbox = world().await;
    sandbox.world().settings.scale_sets.dispatch = Dispatch::Acquire;
    let mut ear = listen(sandbox, 9);
    ear.opened().await;
    ear.sandbox.fault(Fault::actions("acquirejobs").status(500).times(7));
    ear.job();
    let granted = ear.until(|heard| match heard {
        Heard::Acquired { granted, .. } => Some(*granted),
        _ => None,
    });
    assert_eq!(granted.await, 1);
    let calls = ear.stop().await.calls();
    let acquired = calls.iter().position(|call| call.target.contains("acquirejobs") && call.status == Some(200));
    let acknowledged =
        calls.iter().position(|call| call.method == "DELETE" && call.target.starts_with("/scalesets/message"));
    assert!(acquired.is_some() && acknowledged > acquired, "{calls:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_what_the_service_puts_off() {
    let sandbox = world().await;
    sandbox.world().settings.scale_sets.dispatch = Dispatch::Acquire;
    let mut ear = listen(sandbox, 9);
    ear.opened().await;
    // The client would wait for so long, and ask again.
    ear.sandbox.fault(Fault::actions("acquirejobs").status(503).header("retry-after", "2").times(1000));
    ear.job();
    ear.message().await;
    let sandbox = ear.stop().await;
    assert_eq!(sandbox.world().session_owner("linux"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_interrupts_a_poll_and_a_wait() {
    let mut ear = Ear::with(|settings| settings.poll_hold = Duration::from_secs(50)).await;
    ear.opened().await;
    ear.stop().await;
    // Where there is no session to close, there is none to wait for.
    let sandbox = Sandbox::start(Scenario::Empty, 0).await.unwrap();
    let mut ear = listen(sandbox, 9);
    ear.until(|heard| matches!(heard, Heard::Unavailable(_)).then_some(())).await;
    ear.stop.send_replace(true);
    ear.task.await.unwrap();
}

/// A world in which jobs are offered, once, and its listener, whose polls last.
async fn offered() -> Ear {
    let sandbox = world().await;
    {
        let settings = &mut sandbox.world().settings.scale_sets;
        (settings.dispatch, settings.offered_again_after) = (Dispatch::Acquire, Duration::from_hours(24));
        settings.poll_hold = Duration::from_secs(50);
    }
    listen(sandbox, 9)
}

impl Ear {
    /// Lets the next message be another, which counts so many jobs on offer and offers none; then it is gone.
    fn is_told_of_offers(&self, available: u64) {
        let body = serde_json::json!({
            "messageId": 100_000_009, "messageType": "RunnerScaleSetJobMessages", "body": "[]",
            "statistics": {
                "totalAvailableJobs": available, "totalAcquiredJobs": 0, "totalAssignedJobs": 0, "totalRunningJobs": 0,
                "totalRegisteredRunners": 0, "totalBusyRunners": 0, "totalIdleRunners": 0,
            },
        });
        let told = Fault::actions("GET /scalesets/message").status(200).body(&body.to_string());
        self.sandbox.fault(told);
    }

    /// Waits until so many jobs are granted.
    async fn granted(&mut self, jobs: usize) {
        let mut all = 0;
        while all < jobs {
            all += self
                .until(|heard| match heard {
                    Heard::Acquired { granted, .. } => Some(*granted),
                    _ => None,
                })
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acquisition_that_is_refused_forgets_no_offer() {
    for status in [403, 404, 409] {
        let mut ear = offered().await;
        ear.opened().await;
        ear.sandbox.fault(Fault::actions("acquirejobs").status(status).times(3));
        for _ in 0..3 {
            ear.job();
        }
        ear.granted(3).await;
        ear.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acquisition_that_fails_for_long_forgets_no_offer() {
    let mut ear = offered().await;
    ear.opened().await;
    // Each is sent three times; after five its message is acknowledged all the same.
    ear.sandbox.fault(Fault::actions("acquirejobs").status(503).times(21));
    ear.job();
    ear.granted(1).await;
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_whose_offers_never_came_are_found_in_the_list() {
    let mut ear = offered().await;
    ear.sandbox.world().settings.scale_sets.poll_hold = Duration::from_millis(50);
    ear.opened().await;
    ear.is_told_of_offers(1);
    while ear.message().await.id != 100_000_009 {}
    ear.job();
    ear.granted(1).await;
    assert!(ear.calls("acquirablejobs") > 0);
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_for_offers_that_takes_long_is_not_followed_by_another_at_once() {
    let sandbox = world().await;
    {
        let settings = &mut sandbox.world().settings.scale_sets;
        (settings.dispatch, settings.offered_again_after) = (Dispatch::Acquire, Duration::from_hours(24));
        settings.poll_hold = Duration::from_millis(20);
    }
    let apart = Duration::from_secs(1);
    let mut ear = listen_with(sandbox, 9, |pauses| pauses.offers = apart);
    ear.opened().await;
    let mut look = ear.sandbox.hold_at("acquirablejobs", Moment::Before);
    ear.is_told_of_offers(4);
    look.reached().await.unwrap();
    tokio::time::sleep(apart).await;
    let polls = ear.calls("GET /scalesets/message");
    drop(look);
    // After each poll it would be time for another, were the first one's time counted from its beginning.
    crate::commands::until(|| ear.calls("GET /scalesets/message") >= polls + 5).await;
    assert_eq!(ear.calls("acquirablejobs"), 1);
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_are_counted_as_on_offer_and_are_not_are_said() {
    let mut ear = offered().await;
    ear.sandbox.world().settings.scale_sets.poll_hold = Duration::from_millis(50);
    ear.opened().await;
    ear.is_told_of_offers(4);
    ear.until(|heard| matches!(heard, Heard::Unlisted(4)).then_some(())).await;
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failed_poll_does_not_make_a_busy_set_late_for_good() {
    let mut ear = Ear::with(|settings| settings.poll_hold = Duration::from_secs(50)).await;
    ear.opened().await;
    ear.sandbox.fault(Fault::actions("GET /scalesets/message").status(502));
    ear.job();
    ear.until(|heard| matches!(heard, Heard::Trouble(_)).then_some(())).await;
    // No poll of it ends without news, and none lasts for a second.
    let mut told = 0;
    for _ in 0..6 {
        // What comes by a poll that has lasted for longer than an answer takes has just been written.
        crate::commands::until(|| ear.is_polling()).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        ear.job();
        told += usize::from(ear.message().await.statistics.is_some());
    }
    assert!(told >= 4, "{told}");
    ear.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_can_never_be_acknowledged_costs_its_session() {
    for status in [409, 500] {
        let mut ear = Ear::with(|_| {}).await;
        ear.opened().await;
        ear.sandbox.fault(Fault::actions("DELETE /scalesets/message").status(status).times(100_000));
        ear.job();
        ear.message().await;
        ear.until(|heard| matches!(heard, Heard::Lost(_)).then_some(())).await;
        assert_eq!(ear.opened().await, 1);
        ear.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_dead_for_good_costs_its_session() {
    for status in [409, 410, 500] {
        let mut ear = Ear::with(|_| {}).await;
        ear.opened().await;
        ear.sandbox.fault(Fault::actions("GET /scalesets/message").status(status).times(100_000));
        ear.until(|heard| matches!(heard, Heard::Lost(_)).then_some(())).await;
        ear.opened().await;
        ear.stop().await;
    }
}
