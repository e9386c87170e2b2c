//! Sessions and their queues.

use std::time::Instant;

use super::listener::{Listener, read};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

async fn one_set(service: &Service<'_>) -> u64 {
    service.create("linux", &["linux"]).await
}

#[tokio::test]
async fn a_set_has_one_session_until_it_is_deleted() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = one_set(&service).await;
    let listener = Listener::open(&service, set, 1).await;
    assert_eq!(sandbox.world().session_owner("linux").as_deref(), Some("host-1"));
    let sessions = format!("{SETS}/{set}/sessions");
    let conflict = service.post(&sessions, &json!({ "ownerName": "host-1" })).await;
    assert_eq!(refused(&conflict), (409, "RunnerScaleSetSessionConflictException".to_owned()), "not even the owner");
    assert_eq!(service.delete(&listener.path()).await.status, 204);
    let again = service.delete(&listener.path()).await;
    assert_eq!(refused(&again), (400, "RunnerScaleSetSessionExpiredException".to_owned()));
    assert_eq!(refused(&listener.poll().await), (400, "RunnerScaleSetSessionExpiredException".to_owned()));
    let forgotten = service.call(Method::PATCH, &listener.path(), None).await;
    assert_eq!(refused(&forgotten), not_found("RunnerAdminException"));
    Listener::open(&service, set, 1).await;
    let nowhere = service.post(&format!("{SETS}/77/sessions"), &json!({ "ownerName": "a" })).await;
    assert_eq!(refused(&nowhere), not_found("RunnerScaleSetNotFoundException"));
}

#[tokio::test]
async fn a_session_that_is_not_heard_of_for_50_seconds_is_lost() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = one_set(&service).await;
    let crashed = Listener::open(&service, set, 1).await;
    sandbox.advance(40 * SECOND);
    assert_eq!(crashed.poll().await.status, 202, "a poll keeps it");
    sandbox.advance(40 * SECOND);
    assert!(sandbox.world().session_owner("linux").is_some());
    sandbox.advance(20 * SECOND);
    assert_eq!(sandbox.world().session_owner("linux"), None);
    Listener::open(&service, set, 1).await;
    assert_eq!(crashed.poll().await.status, 400);
}

#[tokio::test]
async fn a_message_comes_again_until_it_is_acknowledged_and_the_cursor_passes_it_over() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = one_set(&service).await;
    let mut listener = Listener::open(&service, set, 5).await;
    listener.poll().await;
    sandbox.world().repository("api").run().job(["linux"]);
    let first = listener.poll().await;
    sandbox.world().repository("api").run().job(["linux"]);
    let again = listener.poll().await;
    assert_eq!(first.text, again.text, "the same to the letter");
    let id = read(&first).id;
    listener.last = id;
    let second = read(&listener.poll().await);
    assert_eq!((second.id, second.kinds()), (id + 1, vec!["JobAssigned"]));
    assert_eq!(listener.acknowledge(id).await.status, 204);
    assert_eq!(listener.acknowledge(id).await.status, 404);
    listener.last = 0;
    assert_eq!(read(&listener.poll().await).id, id + 1);
}

#[tokio::test]
async fn ids_go_on_in_the_next_session_and_what_was_not_read_is_lost_with_the_last() {
    let sandbox = hasty().await;
    sandbox.world().settings.scale_sets.message_ids_after = 0;
    let service = Service::open(&sandbox).await;
    let set = one_set(&service).await;
    let mut first = Listener::open(&service, set, 5).await;
    first.next().await;
    sandbox.world().repository("api").run().job(["linux"]);
    assert_eq!(read(&first.poll().await).id, 1);
    service.delete(&first.path()).await;
    let mut second = Listener::open(&service, set, 5).await;
    assert_eq!(second.session["statistics"]["totalAssignedJobs"], 1, "the statistics know it all the same");
    assert!(second.next().await.is_none());
    sandbox.world().repository("api").run().job(["linux"]);
    assert_eq!(second.next().await.unwrap().id, 2);
}

#[tokio::test]
async fn a_message_has_fifty_entries_and_the_rest_comes_later_or_never() {
    for dropped in [false, true] {
        let sandbox = hasty().await;
        sandbox.world().settings.scale_sets.excess_dropped = dropped;
        let service = Service::open(&sandbox).await;
        let set = one_set(&service).await;
        let mut listener = Listener::open(&service, set, 100).await;
        let run = sandbox.world().repository("api").run().id();
        for _ in 0..60 {
            sandbox.world().run(run).job(["linux"]);
        }
        let first = listener.next().await.unwrap();
        assert_eq!((first.entries.len(), &first.statistics["totalAssignedJobs"]), (50, &json!(60)));
        let rest = listener.next().await.map(|message| message.entries.len());
        assert_eq!(rest, (!dropped).then_some(10));
    }
}

#[tokio::test]
async fn a_message_may_hold_statistics_only() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = one_set(&service).await;
    let listener = Listener::open(&service, set, 1).await;
    sandbox.world().scale_set("linux").tell_statistics();
    let message = listener.poll().await.json();
    assert_eq!((&message["body"], &message["statistics"]["totalIdleRunners"]), (&json!(""), &json!(0)));
}

#[tokio::test]
async fn the_queue_takes_no_address_without_its_query_and_no_odd_numbers() {
    let sandbox = hasty().await;
    let service = Service::open(&sandbox).await;
    let set = one_set(&service).await;
    let listener = Listener::open(&service, set, 1).await;
    let bare = request(&sandbox, Method::GET, "/broker/scalesets/message").bearer_auth(&listener.token);
    let answer = send(bare).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["errorKind"]), (400, &json!("RunnerSessionInvalid")));
    let url = listener.session["messageQueueUrl"].as_str().unwrap().strip_prefix(&sandbox.endpoint()).unwrap();
    let odd = request(&sandbox, Method::GET, &format!("{url}&lastMessageId=x")).bearer_auth(&listener.token);
    assert_eq!(send(odd).await.status, 400);
    assert_eq!(listener.acquire(&json!({ "id": 1 })).await.status, 400);
    let below_zero = request(&sandbox, Method::GET, url).bearer_auth(&listener.token);
    assert_eq!(send(below_zero.header("x-scalesetmaxcapacity", "-1")).await.status, 400);
}

/// Waits until a poll is held.
async fn held(sandbox: &Sandbox) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while sandbox.world().polls_held("linux") == 0 {
        assert!(Instant::now() < deadline, "no poll is held");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_held_poll_ends_when_something_comes_and_keeps_its_session() {
    let sandbox = empty().await;
    let service = Service::open(&sandbox).await;
    let set = one_set(&service).await;
    let listener = Listener::open(&service, set, 5).await;
    let (answer, ()) = tokio::join!(listener.poll(), async {
        held(&sandbox).await;
        sandbox.advance(Duration::from_mins(20));
        assert!(sandbox.world().session_owner("linux").is_some(), "it is heard of all the time");
        sandbox.world().repository("api").run().job(["linux"]);
    });
    assert_eq!(read(&answer).kinds(), ["JobAssigned"]);
    assert_eq!(sandbox.world().polls_held("linux"), 0);
}

#[tokio::test]
async fn a_poll_that_its_client_gave_up_is_held_no_more() {
    let sandbox = empty().await;
    let service = Service::open(&sandbox).await;
    let set = one_set(&service).await;
    let listener = Listener::open(&service, set, 5).await;
    tokio::select! {
        _ = listener.poll() => panic!("nothing comes"),
        () = held(&sandbox) => {}
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while sandbox.world().polls_held("linux") > 0 {
        assert!(Instant::now() < deadline, "it is held still");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_held_poll_does_not_keep_the_sandbox_from_ending() {
    let sandbox = empty().await;
    let service = Service::open(&sandbox).await;
    let set = one_set(&service).await;
    let polling = Listener::open(&service, set, 5).await.polling();
    let polling = tokio::spawn(send(polling));
    held(&sandbox).await;
    tokio::time::timeout(Duration::from_secs(20), sandbox.stop()).await.unwrap();
    assert_eq!(polling.await.unwrap().status, 202);
}
