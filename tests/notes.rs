//! The note that nothing was ordered: it stands where that is certain, and never while an order may be under way.

use ghascale::apply::{self, Undone, undo};
use ghascale::engine::build::{job, pool};
use ghascale::engine::{Connection, Label, Offering, RunnerId, plan};
use ghascale::services::{Birthmark, Unordered};

use crate::world::{Fault, World};

/// Launches one runner in a world in which the next calls of some kinds fail; returns what was noted, and how it ended.
fn launched(faults: &[(&str, &str, bool)]) -> (Vec<&'static str>, apply::Result, World) {
    let world = World::new();
    let mut linux = pool("linux");
    let first = linux.offerings[0].clone();
    linux.offerings.push(Offering { subnet: "subnet-z".to_owned(), ..first });
    world.policy.borrow_mut().pools.push(linux);
    world.jobs.borrow_mut().push(job(1));
    for (call, word, after) in faults {
        let fault = Fault { word: (*word).to_owned(), after: *after };
        world.faults.borrow_mut().entry((*call).to_owned()).or_default().push_back(fault);
    }
    let plan = plan(&world.observe(), &world.policy.borrow());
    let outcome = world.apply(&plan).remove(0);
    let noted = world.notebook.0.borrow().clone();
    (noted, outcome.result, world)
}

#[test]
fn the_note_is_taken_away_before_the_order() {
    let (noted, result, _) = launched(&[]);
    assert_eq!((noted, result), (vec!["set", "lifted"], apply::Result::Done));
}

#[test]
fn it_is_set_again_when_ec2_has_refused_and_not_while_it_may_have_launched() {
    let refused = ("run", "InsufficientInstanceCapacity", false);
    let (noted, result, _) = launched(&[refused]);
    assert_eq!((noted, result), (vec!["set", "lifted", "set", "lifted"], apply::Result::Done));
    let throttled = ("run", "RequestLimitExceeded", false);
    let (noted, ..) = launched(&[throttled, throttled]);
    assert_eq!(noted, ["set", "lifted", "set", "lifted", "set", "lifted"]);
    // Unanswered, and then throttled: the first may have launched.
    for unanswered in [("run", "Timeout", true), ("run", "Timeout", false)] {
        let (noted, result, _) = launched(&[unanswered, throttled]);
        assert_eq!((noted, result), (vec!["set", "lifted"], apply::Result::Done));
    }
    let lost = ("run", "Timeout", false);
    let (noted, result, _) = launched(&[lost; 5]);
    assert_eq!((noted, result), (vec!["set", "lifted"], apply::Result::Failed), "nobody knows");
}

#[test]
fn it_goes_with_its_record_and_stays_with_one_that_could_not_be_undone() {
    let refused = ("run", "InvalidAMIID.NotFound", false);
    let (noted, _, world) = launched(&[refused]);
    assert_eq!((noted, world.runners.borrow().len()), (vec!["set", "lifted", "set", "lifted"], 0));
    let (noted, _, world) = launched(&[refused, ("remove", "502", false)]);
    assert_eq!((noted, world.runners.borrow().len()), (vec!["set", "lifted", "set"], 1));
}

#[test]
fn a_registration_whose_answer_is_lost_stays_noted_unless_it_is_undone() {
    let (noted, _, world) = launched(&[("register", "502", true)]);
    assert_eq!((noted, world.runners.borrow().len()), (vec!["set", "lifted"], 0));
    let (noted, ..) = launched(&[("register", "502", false)]);
    assert_eq!(noted, ["set"], "GitHub may still be at it");
    let (noted, ..) = launched(&[("register", "403", false)]);
    assert_eq!(noted, ["set", "lifted"], "refused");
    // A peer has the name.
    let world = World::new();
    world.policy.borrow_mut().pools.push(pool("linux"));
    world.jobs.borrow_mut().push(job(1));
    let plan = plan(&world.observe(), &world.policy.borrow());
    world.runners.borrow_mut().push(ghascale::engine::build::runner("linux", 0));
    assert_eq!(world.apply(&plan)[0].result, apply::Result::Skipped);
    assert_eq!(*world.notebook.0.borrow(), ["set", "lifted"]);
}

// --- undoing --------------------------------------------------------------------------------------------------------

fn undone(world: &World, mark: Birthmark) -> Result<Undone, String> {
    let left = Unordered { name: ghascale::engine::build::runner("linux", 0).name, mark };
    futures::executor::block_on(undo(&left, world, world))
}

/// A world with one record, as a launch leaves it that gave up half-way.
fn with_a_record() -> (World, RunnerId, Label) {
    let (_, _, world) = launched(&[("run", "InvalidAMIID.NotFound", false), ("remove", "502", false)]);
    let record = world.runners.borrow()[0].clone();
    let label = record.labels.last().unwrap().clone();
    (world, record.id, label)
}

#[test]
fn what_was_noted_is_undone_once() {
    let (world, id, label) = with_a_record();
    let by_label = Birthmark::Label(label);
    assert_eq!(undone(&world, by_label.clone()), Ok(Undone::Removed { runner_id: id, request_id: None }));
    assert!(world.runners.borrow().is_empty());
    assert_eq!(undone(&world, by_label), Ok(Undone::Absent));
}

#[test]
fn nothing_else_is_undone() {
    let kept = |world: &World, mark: Birthmark, why: &str| {
        let answer = undone(world, mark);
        assert!(matches!(&answer, Ok(Undone::Kept(said)) if said.contains(why)), "{answer:?} and not {why}");
        assert_eq!(world.runners.borrow().len(), 1);
    };
    let (world, id, label) = with_a_record();
    let mine = Birthmark::Label(label);
    kept(&world, Birthmark::Label(Label::new("ghascale-0-another")), "another registration's");
    // One with a label of birth is none of a scale set's, whatever its id.
    kept(&world, Birthmark::Id(id), "another registration's");
    world.runners.borrow_mut()[0].connection = Connection::Online;
    kept(&world, mine.clone(), "offline");
    (world.runners.borrow_mut()[0].connection, world.runners.borrow_mut()[0].busy) = (Connection::Offline, true);
    kept(&world, mine.clone(), "busy");
    world.runners.borrow_mut()[0].busy = false;
    let mut instance = ghascale::engine::build::instance("linux", 0);
    instance.runner_id = Some(id);
    world.instances.borrow_mut().push((instance, String::new()));
    kept(&world, mine.clone(), "is there");
    world.instances.borrow_mut().clear();
    let fault = Fault { word: "502".to_owned(), after: false };
    world.faults.borrow_mut().entry("runner_named".to_owned()).or_default().push_back(fault);
    assert!(undone(&world, mine.clone()).is_err());
    assert!(matches!(undone(&world, mine), Ok(Undone::Removed { .. })));
}
