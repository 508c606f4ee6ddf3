use std::collections::{BTreeMap, BTreeSet};

use domain::UserId;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::text::fake_model::{FakeModel, argmax};
use crate::text::step_model::StepModel;

const VOCABULARY: usize = 3;
const TOKENS: std::ops::Range<u32> = 0..3;

fn owner(number: u8) -> Owner {
    if number == 0 { Owner::Guests } else { Owner::User(UserId::new(Uuid::from_u128(number.into()))) }
}

fn config() -> SchedulerConfig {
    SchedulerConfig {
        slots: 4,
        context_length: 128,
        max_queued: 1000,
        max_running_per_owner: 8,
        prefill_chunk_tokens: 8,
        idle_prefill_chunk_tokens: 24,
        share_prefixes: true,
        speculate: true,
        extend_matches_decode: true,
        queue_timeout_ms: 1_000_000,
        generation_timeout_ms: 1_000_000,
    }
}

/// Inputs of which vectors are made, and the sums that were told of each.
type Embedding = (Vec<Vec<u32>>, Vec<Vec<f64>>);

/// Carries plans out on a fake model, as the engine does, and checks what must hold in every step.
struct Harness {
    scheduler: Scheduler,
    config: SchedulerConfig,
    model: FakeModel,
    now_ms: u64,
    next_id: u64,
    owners: BTreeMap<SequenceId, Owner>,
    prompts: BTreeMap<SequenceId, (Vec<u32>, usize)>,
    texts: BTreeMap<SequenceId, Vec<u32>>,
    embeddings: BTreeMap<SequenceId, Embedding>,
    /// Of the input that is being read.
    sums: BTreeMap<SequenceId, Vec<f64>>,
    first_token_step: BTreeMap<SequenceId, u64>,
    finished: BTreeSet<SequenceId>,
    expired: BTreeSet<SequenceId>,
    copies: usize,
    fillers: usize,
    checks: usize,
    reused: usize,
}

impl Harness {
    fn new(config: SchedulerConfig) -> Self {
        Self {
            scheduler: Scheduler::new(config.clone()),
            model: FakeModel::new(config.slots, config.context_length, VOCABULARY),
            config,
            now_ms: 0,
            next_id: 0,
            owners: BTreeMap::new(),
            prompts: BTreeMap::new(),
            texts: BTreeMap::new(),
            embeddings: BTreeMap::new(),
            sums: BTreeMap::new(),
            first_token_step: BTreeMap::new(),
            finished: BTreeSet::new(),
            expired: BTreeSet::new(),
            copies: 0,
            fillers: 0,
            checks: 0,
            reused: 0,
        }
    }

    fn submit(&mut self, owner: Owner, priority: Priority, prompt: Vec<u32>, max_new_tokens: usize) -> SequenceId {
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        self.prompts.insert(id, (prompt.clone(), max_new_tokens));
        self.owners.insert(id, owner);
        self.scheduler
            .submit(self.now_ms, Submission { id, owner, priority, prompt, purpose: Purpose::Text { max_new_tokens } })
            .unwrap();
        id
    }

    fn submit_embedding(&mut self, owner: Owner, priority: Priority, inputs: Vec<Vec<u32>>) -> SequenceId {
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        let ends = inputs.iter().scan(0, |end, input| {
            *end += input.len();
            Some(*end)
        });
        let purpose = Purpose::Embedding { ends: ends.collect() };
        self.owners.insert(id, owner);
        let submission = Submission { id, owner, priority, prompt: inputs.concat(), purpose };
        self.scheduler.submit(self.now_ms, submission).unwrap();
        self.embeddings.insert(id, (inputs, Vec::new()));
        id
    }

    fn embed(&mut self, chunk: &PrefillChunk) {
        let (inputs, told) = self.embeddings.get_mut(&chunk.id).unwrap();
        assert!(self.config.extend_matches_decode || chunk.tokens.len() > 1 || inputs[told.len()].len() == 1, "read alone");
        let sums = self.sums.entry(chunk.id).or_insert_with(|| vec![0.0; self.model.limits().width]);
        self.model.add_hidden_states(chunk.slot, chunk.start, &chunk.tokens, sums).unwrap();
        self.scheduler.prefilled(chunk);
        if chunk.completes {
            told.extend(self.sums.remove(&chunk.id));
            self.first_token_step.entry(chunk.id).or_insert(self.now_ms);
            if told.len() == inputs.len() {
                self.finished.insert(chunk.id);
                assert!(self.scheduler.remove(chunk.id));
            }
        }
    }

    fn step(&mut self) -> Plan {
        self.now_ms += 1;
        let plan = self.scheduler.plan(self.now_ms);
        self.check(&plan);
        self.expired.extend(&plan.expired);
        self.reused += plan.admitted.iter().map(|admission| admission.reused_tokens).sum::<usize>();
        for copy in &plan.copies {
            self.model.copy_slot(copy.from, copy.to, copy.tokens).unwrap();
            self.copies += 1;
        }
        let mut chosen: Vec<(SequenceId, Vec<u32>)> = Vec::new();
        if !plan.decode.rows.is_empty() {
            let logits = self.model.decode(&plan.decode.tokens, &plan.decode.positions).unwrap();
            for (row, logits) in plan.decode.rows.iter().zip(logits.rows()) {
                match row {
                    Some(id) => chosen.push((*id, vec![argmax(logits)])),
                    None => self.fillers += 1,
                }
            }
        }
        for check in &plan.checks {
            assert!(self.config.extend_matches_decode);
            self.checks += 1;
            let logits = self.model.extend(check.slot, check.start, &check.tokens, check.tokens.len()).unwrap();
            let choices: Vec<u32> = logits.rows().map(argmax).collect();
            let right = choices.iter().zip(&check.tokens[1..]).take_while(|(choice, guess)| choice == guess).count();
            self.scheduler.checked(check.id, check.tokens.len() - 1, right);
            chosen.push((check.id, choices[..=right].to_vec()));
        }
        for chunk in &plan.prefills {
            if chunk.embeds {
                self.embed(chunk);
                continue;
            }
            let alone = chunk.tokens.len() == 1 && self.prompts[&chunk.id].0.len() > 1;
            assert!(self.config.extend_matches_decode || !alone, "a prompt's token is read alone");
            let logits = self.model.extend(chunk.slot, chunk.start, &chunk.tokens, usize::from(chunk.completes)).unwrap();
            if let Some(row) = logits.rows().next() {
                chosen.push((chunk.id, vec![argmax(row)]));
            }
            self.scheduler.prefilled(chunk);
        }
        for (id, tokens) in chosen {
            self.scheduler.generated(id, &tokens);
            self.first_token_step.entry(id).or_insert(self.now_ms);
            let text = self.texts.entry(id).or_default();
            text.extend(tokens);
            let limit = self.prompts[&id].1;
            assert!(text.len() <= limit, "more tokens than were asked for");
            if text.len() == limit {
                self.finished.insert(id);
                assert!(self.scheduler.remove(id));
            }
        }
        plan
    }

    fn check(&self, plan: &Plan) {
        let mut running: BTreeMap<Owner, usize> = BTreeMap::new();
        let mut slots = BTreeSet::new();
        for sequence in self.scheduler.sequences.values() {
            if let Some(slot) = sequence.slot() {
                assert!(slots.insert(slot), "two sequences in slot {slot}");
                *running.entry(sequence.owner).or_default() += 1;
            }
        }
        let held = (0..self.config.slots).filter(|slot| self.scheduler.slots.get(*slot).unwrap().holder.is_some());
        assert_eq!(held.collect::<BTreeSet<_>>(), slots, "a slot is held by nobody, or by somebody else");
        assert_eq!(self.scheduler.running(), slots.len());
        assert!(running.values().all(|count| *count <= self.config.max_running_per_owner.min(self.config.slots - 1)));
        let read: usize = plan.prefills.iter().map(|chunk| chunk.tokens.len()).sum();
        let decoding = plan.decode.rows.iter().any(Option::is_some) || !plan.checks.is_empty();
        let limit = if decoding { self.config.prefill_chunk_tokens } else { self.config.idle_prefill_chunk_tokens };
        assert!(read <= limit, "{read} tokens read in one step");
    }

    fn run_until_empty(&mut self, most_steps: u64) {
        let end = self.now_ms + most_steps;
        while !self.scheduler.is_empty() {
            assert!(self.now_ms < end, "still running after {most_steps} steps");
            self.step();
        }
    }
}

/// The sums of an input's hidden states.
fn sums_of(input: &[u32]) -> Vec<f64> {
    let mut sums = Vec::new();
    for end in 1..=input.len() {
        let state = FakeModel::hidden_state_after(&input[..end]);
        sums.resize(state.len(), 0.0);
        sums.iter_mut().zip(state).for_each(|(sum, value)| *sum += f64::from(value));
    }
    sums
}

#[derive(Debug, Clone)]
enum Event {
    Submit { owner: u8, batch: bool, prompt: Vec<u32>, length: usize },
    Embed { owner: u8, batch: bool, inputs: Vec<Vec<u32>> },
    Cancel(usize),
    Pause(usize),
    Resume(usize),
    Step,
}

fn event() -> impl Strategy<Value = Event> {
    let prompt = prop_oneof![
        prop::collection::vec(TOKENS, 1..60),
        // Prompts that begin alike.
        (0usize..60, prop::collection::vec(TOKENS, 1..5)).prop_map(|(shared, end)| [vec![1; shared], end].concat()),
    ];
    prop_oneof![
        3 => (0u8..4, any::<bool>(), prompt, 1usize..60).prop_map(|(owner, batch, prompt, length)| Event::Submit { owner, batch, prompt, length }),
        1 => (0u8..4, any::<bool>(), prop::collection::vec(prop::collection::vec(TOKENS, 1..60), 1..5)).prop_map(|(owner, batch, inputs)| Event::Embed { owner, batch, inputs }),
        1 => (0usize..50).prop_map(Event::Cancel),
        1 => (0usize..50).prop_map(Event::Pause),
        1 => (0usize..50).prop_map(Event::Resume),
        8 => Just(Event::Step),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn whatever_comes_and_goes_everybody_gets_their_own_text_and_every_slot_is_free_again(
        events in prop::collection::vec(event(), 1..200),
        speculate: bool,
        share_prefixes: bool,
        extend_matches_decode: bool,
        slots in 2usize..6,
    ) {
        let mut harness = Harness::new(SchedulerConfig { slots, share_prefixes, speculate, extend_matches_decode, ..config() });
        let mut cancelled = BTreeSet::new();
        for event in events {
            match event {
                Event::Submit { owner: number, batch, prompt, length } => {
                    let priority = if batch { Priority::Batch } else { Priority::Interactive };
                    harness.submit(owner(number), priority, prompt, length);
                }
                Event::Embed { owner: number, batch, inputs } => {
                    let priority = if batch { Priority::Batch } else { Priority::Interactive };
                    harness.submit_embedding(owner(number), priority, inputs);
                }
                Event::Cancel(index) => {
                    let id = SequenceId(index as u64);
                    if harness.scheduler.remove(id) {
                        cancelled.insert(id);
                    }
                }
                Event::Pause(index) => harness.scheduler.set_paused(SequenceId(index as u64), true),
                Event::Resume(index) => harness.scheduler.set_paused(SequenceId(index as u64), false),
                Event::Step => drop(harness.step()),
            }
        }
        for id in harness.prompts.keys() {
            harness.scheduler.set_paused(*id, false);
        }
        harness.run_until_empty(20_000);
        prop_assert_eq!(harness.scheduler.waiting(), 0);
        prop_assert_eq!(harness.scheduler.slots.free(), slots);
        prop_assert!(harness.expired.is_empty());
        for (id, (prompt, length)) in &harness.prompts {
            let expected = FakeModel::greedy(prompt, *length, VOCABULARY);
            let text = harness.texts.get(id).cloned().unwrap_or_default();
            if cancelled.contains(id) {
                prop_assert!(expected.starts_with(&text));
            } else {
                prop_assert_eq!(text, expected);
            }
        }
        for (id, (inputs, told)) in &harness.embeddings {
            let expected: Vec<Vec<f64>> = inputs.iter().map(|input| sums_of(input)).collect();
            if cancelled.contains(id) {
                prop_assert!(expected.starts_with(told));
            } else {
                prop_assert_eq!(told, &expected);
            }
        }
    }

    #[test]
    fn while_one_owner_keeps_64_long_requests_queued_another_begins_almost_as_if_alone(
        prompt_tokens in 1usize..100,
        arrives_after in 0u64..200,
    ) {
        let config = SchedulerConfig { speculate: false, ..config() };
        let chunks = |tokens: usize| tokens.div_ceil(config.prefill_chunk_tokens) as u64;
        let mut harness = Harness::new(config.clone());
        let refill = |harness: &mut Harness| {
            while harness.scheduler.waiting() < 64 {
                let variety = u32::try_from(harness.next_id % 3).unwrap();
                harness.submit(owner(1), Priority::Interactive, [vec![variety; 3], vec![0; 57]].concat(), 60);
            }
        };
        for _ in 0..arrives_after {
            refill(&mut harness);
            harness.step();
        }
        refill(&mut harness);
        let newcomer = harness.submit(owner(2), Priority::Interactive, vec![2; prompt_tokens], 5);
        let arrived = harness.now_ms;
        while !harness.first_token_step.contains_key(&newcomer) {
            refill(&mut harness);
            harness.step();
            // Who has had nothing yet shares with the newcomer alternately; who has had much already waits for them.
            let turns = if arrives_after < 40 { 2 } else { 1 };
            prop_assert!(harness.now_ms - arrived <= turns * chunks(prompt_tokens) + 1);
        }
    }
}

#[test]
fn owners_who_queue_much_and_little_get_the_same_share() {
    let mut harness = Harness::new(SchedulerConfig { slots: 3, ..config() });
    for _ in 0..400 {
        while harness.scheduler.ids_where(|s| s.owner == owner(1)).len() < 50 {
            harness.submit(owner(1), Priority::Interactive, vec![0; 20], 20);
        }
        while harness.scheduler.ids_where(|s| s.owner == owner(2)).len() < 2 {
            harness.submit(owner(2), Priority::Interactive, vec![1; 20], 20);
        }
        harness.step();
    }
    let made =
        |who| -> usize { harness.texts.iter().filter(|(id, _)| harness.owners[id] == who).map(|(_, text)| text.len()).sum() };
    let (much, little) = (made(owner(1)), made(owner(2)));
    assert!(little * 3 > much * 2 && much * 3 > little * 2, "{much} against {little}");
}

#[test]
fn batch_work_waits_until_nobody_waits_for_an_answer() {
    let mut harness = Harness::new(config());
    for number in 1..4 {
        harness.submit(owner(number), Priority::Batch, vec![1; 40], 20);
    }
    let answers: Vec<SequenceId> = (4..8).map(|n| harness.submit(owner(n), Priority::Interactive, vec![2; 40], 20)).collect();
    harness.step();
    let running = harness.scheduler.ids_where(|sequence| sequence.slot().is_some());
    assert!(running.iter().all(|id| answers.contains(id)));
    harness.run_until_empty(1000);
    let last_answer = answers.iter().map(|id| harness.first_token_step[id]).max().unwrap();
    let batch = harness.first_token_step.iter().filter(|(id, _)| !answers.contains(id));
    assert!(batch.map(|(_, step)| *step).all(|step| step >= last_answer));
}

#[test]
fn a_prompt_that_goes_on_from_a_finished_text_is_read_from_where_that_ended() {
    let mut harness = Harness::new(config());
    let first = harness.submit(owner(1), Priority::Interactive, vec![1; 50], 10);
    harness.run_until_empty(100);
    let prompt = [vec![1; 50], harness.texts[&first].clone(), vec![2, 2]].concat();
    harness.submit(owner(1), Priority::Interactive, prompt.clone(), 5);
    let plan = harness.step();
    assert_eq!(plan.admitted[0].reused_tokens, 59);
    assert_eq!(plan.prefills[0].tokens.len(), 3);
    harness.run_until_empty(100);
    assert_eq!(harness.texts[&SequenceId(1)], FakeModel::greedy(&prompt, 5, VOCABULARY));
}

#[test]
fn several_answers_to_one_question_read_it_once() {
    let mut harness = Harness::new(config());
    for _ in 0..3 {
        harness.submit(owner(1), Priority::Interactive, vec![1; 50], 10);
    }
    harness.run_until_empty(100);
    assert_eq!(harness.reused, 2 * 49);
}

#[test]
fn what_decoding_left_is_read_again_where_the_model_tells_the_difference() {
    let mut harness = Harness::new(SchedulerConfig { extend_matches_decode: false, ..config() });
    let first = harness.submit(owner(1), Priority::Interactive, vec![1; 50], 10);
    harness.run_until_empty(100);
    let prompt = [vec![1; 50], harness.texts[&first].clone(), vec![2, 2]].concat();
    harness.submit(owner(1), Priority::Interactive, prompt, 5);
    assert_eq!(harness.step().admitted[0].reused_tokens, 50);
    harness.run_until_empty(100);
    harness.submit(owner(1), Priority::Interactive, vec![1; 50], 10);
    assert_eq!(harness.step().admitted[0].reused_tokens, 48);
}

#[test]
fn nobody_starts_from_another_owners_prompt() {
    let mut harness = Harness::new(config());
    harness.submit(owner(1), Priority::Interactive, vec![1; 50], 10);
    harness.run_until_empty(100);
    harness.submit(owner(2), Priority::Interactive, vec![1; 50], 10);
    assert_eq!(harness.step().admitted[0].reused_tokens, 0);
}

#[test]
fn kept_texts_give_way_the_least_recently_used_first() {
    let mut harness = Harness::new(SchedulerConfig { slots: 3, ..config() });
    let prompt = |number: u32| if number < 3 { vec![number; 40] } else { [0, 1].repeat(20) };
    for number in 0..4 {
        harness.submit(owner(1), Priority::Interactive, prompt(number), 2);
        harness.run_until_empty(100);
    }
    for (number, reused) in [(3, true), (2, true), (1, true), (0, false)] {
        harness.submit(owner(1), Priority::Interactive, prompt(number), 2);
        assert_eq!(harness.step().admitted[0].reused_tokens > 0, reused, "prompt {number}");
        harness.run_until_empty(100);
    }
}

#[test]
fn a_sequence_far_up_is_moved_down_once_the_holes_below_it_have_cost_enough() {
    let mut harness = Harness::new(SchedulerConfig { speculate: false, share_prefixes: false, slots: 5, ..config() });
    for number in 1..4 {
        harness.submit(owner(number), Priority::Interactive, vec![1; 8], 3);
    }
    let long = harness.submit(owner(4), Priority::Interactive, vec![1; 8], 100);
    harness.run_until_empty(200);
    assert_eq!(harness.texts[&long], FakeModel::greedy(&[1; 8], 100, VOCABULARY));
    assert_eq!(harness.copies, 1);
    assert!(harness.fillers < 20, "{} filler rows", harness.fillers);
}

#[test]
fn guesses_save_steps_and_change_nothing() {
    let run = |speculate| {
        let mut harness = Harness::new(SchedulerConfig { speculate, ..config() });
        harness.submit(owner(1), Priority::Interactive, vec![0, 1, 2, 0, 1, 2], 100);
        harness.run_until_empty(200);
        (harness.texts[&SequenceId(0)].clone(), harness.now_ms, harness.checks)
    };
    let (with, without) = (run(true), run(false));
    assert_eq!(with.0, without.0);
    assert!(with.1 < without.1 && with.2 > 0, "{} steps against {}", with.1, without.1);
}

#[test]
fn who_waits_is_told_how_many_wait_before_them_and_only_when_it_changes() {
    let mut harness = Harness::new(SchedulerConfig { slots: 2, ..config() });
    let ids: Vec<SequenceId> = (0..4).map(|_| harness.submit(owner(1), Priority::Interactive, vec![1; 4], 10)).collect();
    assert_eq!(harness.step().queue_positions, [(ids[1], 0), (ids[2], 1), (ids[3], 2)]);
    assert_eq!(harness.step().queue_positions, []);
    harness.scheduler.remove(ids[1]);
    assert_eq!(harness.step().queue_positions, [(ids[2], 0), (ids[3], 1)]);
}

#[test]
fn who_waits_or_runs_past_the_deadline_is_out() {
    let mut harness = Harness::new(SchedulerConfig { slots: 2, queue_timeout_ms: 5, generation_timeout_ms: 20, ..config() });
    let runs = harness.submit(owner(1), Priority::Interactive, vec![1; 4], 100);
    let waits = harness.submit(owner(1), Priority::Interactive, vec![1; 4], 100);
    assert_eq!(harness.scheduler.next_deadline_ms(), Some(5));
    for _ in 0..5 {
        harness.step();
    }
    assert_eq!(harness.expired, BTreeSet::from([waits]));
    harness.run_until_empty(16);
    assert_eq!(harness.expired, BTreeSet::from([runs, waits]));
}

#[test]
fn a_full_queue_refuses_and_a_failed_step_ends_only_what_ran() {
    let mut harness = Harness::new(SchedulerConfig { max_queued: 2, slots: 2, ..config() });
    let runs = harness.submit(owner(1), Priority::Interactive, vec![1; 4], 100);
    harness.step();
    let waits = harness.submit(owner(1), Priority::Interactive, vec![1; 4], 3);
    harness.submit(owner(1), Priority::Interactive, vec![1; 4], 3);
    let one_more = Submission {
        id: SequenceId(9),
        owner: owner(2),
        priority: Priority::Interactive,
        prompt: vec![1],
        purpose: Purpose::Text { max_new_tokens: 1 },
    };
    assert_eq!(harness.scheduler.submit(0, one_more), Err(QueueFull));
    assert_eq!(harness.scheduler.fail_running(), [runs]);
    harness.run_until_empty(100);
    assert!(harness.finished.contains(&waits));
}

#[test]
fn vectors_are_made_between_the_steps_of_a_text_and_of_nothing_that_is_kept() {
    let mut harness = Harness::new(config());
    let text = harness.submit(owner(1), Priority::Interactive, vec![1; 20], 60);
    harness.step();
    // Begins as the text does, whose tokens lie in the cache; and is read whole all the same.
    let embedding = harness.submit_embedding(owner(1), Priority::Interactive, vec![vec![1; 40], vec![2; 3]]);
    let mut steps = 0;
    while !harness.finished.contains(&embedding) {
        let plan = harness.step();
        let decodes = plan.decode.rows.contains(&Some(text)) || plan.checks.iter().any(|check| check.id == text);
        assert!(decodes, "the text goes on in every step");
        assert!(plan.prefills.iter().map(|chunk| chunk.tokens.len()).sum::<usize>() <= harness.config.prefill_chunk_tokens);
        steps += 1;
    }
    assert!(steps >= 43 / harness.config.prefill_chunk_tokens);
    assert_eq!((harness.reused, harness.copies), (0, 0));
    assert_eq!(harness.embeddings[&embedding].1, [sums_of(&[1; 40]), sums_of(&[2; 3])]);
    harness.run_until_empty(100);
    // What an embedding has read is not shared, what the text has left still is.
    harness.submit(owner(1), Priority::Interactive, vec![2; 30], 1);
    harness.run_until_empty(100);
    assert_eq!(harness.reused, 0);
    harness.submit(owner(1), Priority::Interactive, vec![1; 20], 1);
    harness.run_until_empty(100);
    assert!(harness.reused >= 16, "{}", harness.reused);
}

#[test]
fn an_embedding_takes_the_slot_that_keeps_the_least_and_leaves_the_low_ones_to_texts() {
    let mut harness = Harness::new(config());
    for token in 0..2 {
        harness.submit(owner(1), Priority::Interactive, vec![token; 20], 1);
        harness.run_until_empty(100);
    }
    let embedding = harness.submit_embedding(owner(2), Priority::Interactive, vec![vec![1; 100]]);
    harness.step();
    assert_eq!(harness.scheduler.sequences[&embedding].slot(), Some(3));
    harness.run_until_empty(100);
    assert_eq!((0..4).map(|slot| harness.scheduler.slots.get(slot).unwrap().valid).collect::<Vec<_>>(), [20, 20, 0, 0]);
}

#[test]
fn an_owners_own_text_goes_before_their_embeddings_and_anothers_turn_comes_all_the_same() {
    let mut harness = Harness::new(config());
    let many = vec![vec![1; 50]; 40];
    let embedding = harness.submit_embedding(owner(1), Priority::Interactive, many.clone());
    let others = harness.submit_embedding(owner(2), Priority::Interactive, vec![vec![2; 20]]);
    harness.step();
    let text = harness.submit(owner(1), Priority::Interactive, vec![1; 20], 1);
    for _ in 0..12 {
        harness.step();
    }
    assert!(harness.finished.contains(&text) && harness.finished.contains(&others), "{:?}", harness.finished);
    assert!(!harness.finished.contains(&embedding));
    assert!(harness.scheduler.remove(embedding), "it can be cancelled anywhere");
    assert_eq!(harness.scheduler.slots.free(), 4);
}
