//! How speech sounds that goes through the whole gateway process, both ways at once, over networks that lose and delay, and what the same
//! speech sounds like through rtpengine in the same minute on the same machine. Run by `cargo xtask bench audio --section speech`.
//!
//! A visitor (str0m, Opus) and a telephone (PCMU) say pairs of sentences to each other. Both gateways get the same packets to bridge,
//! from the same seeds of the same relays; both listeners play what comes with the same playout. Everything runs on threads with
//! blocking sockets: what is measured is time, and nothing shall share a scheduler with it. On a machine that does other things as well,
//! jitter is what the kernel makes of it: `nice --15 cargo xtask bench …` keeps them out.

mod child;
mod ear;
mod gateway;
mod judge;
mod network;
mod phone;
mod rtpengine;
mod script;
mod trunk;
mod visitor;

use anyhow::{Context as _, Result, ensure};
use child::Process;
use ear::Heard;
use gateway::Gateway;
use judge::{Score, Task};
use network::{Impairment, Network, media_of};
use phone::Phone;
use protocol::CallId;
use rtpengine::RtpEngine;
use script::{Program, RATE, Script};
use serde_json::json;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use trunk::Trunk;
use visitor::{Visitor, candidate_of};

/// The bridge's address in the bench's network namespace.
const IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 1));

/// Jitter wherever a path is impaired.
const JITTER: Duration = Duration::from_millis(20);

/// In each round one call by each gateway for each condition. They do not all speak at once: the machine shall be idle half of the time.
const SEEDS: [u64; 2] = [1, 2];

/// How long all calls may take to be set up.
const SETUP: Duration = Duration::from_secs(15);

/// Of two medians that differ by less, neither is the better one: cutting the same pairs a block later moves them by up to 0.1, and so
/// does another run.
const ALIKE: f64 = 0.2;

/// Where what is lost, in percent, and with jitter.
const CONDITIONS: [Condition; 6] = [
    Condition { name: "no loss, no jitter", visitor: None, trunk: None },
    Condition { name: "no loss, 20 ms jitter", visitor: Some(0.0), trunk: None },
    Condition { name: "3 % loss, 20 ms jitter", visitor: Some(3.0), trunk: None },
    Condition { name: "10 % loss, 20 ms jitter", visitor: Some(10.0), trunk: None },
    Condition { name: "3 % on the trunk, 20 ms jitter", visitor: None, trunk: Some(3.0) },
    Condition { name: "10 % on the trunk, 20 ms jitter", visitor: None, trunk: Some(10.0) },
];

struct Condition {
    name: &'static str,
    /// Between visitor and gateway.
    visitor: Option<f64>,
    /// Between gateway and far end.
    trunk: Option<f64>,
}

/// Who bridges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carrier {
    Ringlet,
    RtpEngine,
}

const CARRIERS: [Carrier; 2] = [Carrier::Ringlet, Carrier::RtpEngine];

/// Which way speech goes.
const WAYS: [&str; 2] = ["visitor to far end", "far end to visitor"];

fn main() -> Result<()> {
    let directory = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../artifacts/bench-speech"));
    std::fs::create_dir_all(&directory)?;
    let directory = directory.canonicalize()?;
    let programs = script::programs(&directory)?;
    let bench = Bench {
        network: Network::start(),
        trunk: Trunk::start(Gateway::trunk(IP))?,
        gateway: Gateway::start(IP, &directory)?,
        rtpengine: RtpEngine::start(IP, &directory)?,
        programs,
    };
    let calls = bench.all_calls()?;
    let names: Vec<[String; 2]> = calls.iter().map(Call::names).collect();
    let mut tasks = Vec::new();
    for (call, names) in calls.iter().zip(&names) {
        for ((heard, name), program) in call.heard.iter().zip(names).zip(&bench.programs) {
            tasks.push(Task { name, said: &program.pcm, heard, pairs: &program.pairs });
        }
    }
    let scores = judge::judge(&tasks, &directory)?;
    for (condition, of) in CONDITIONS.iter().enumerate() {
        for (way, name) in WAYS.iter().enumerate() {
            let [ours, theirs] = CARRIERS.map(|carrier| {
                let both = calls.iter().zip(scores.chunks(WAYS.len()));
                let these = both.filter(|(call, _)| call.condition == condition && call.carrier == carrier);
                these.filter_map(|(_, scores)| scores.get(way)).flatten().copied().collect::<Vec<Score>>()
            });
            // What is lost behind the gateway is lost, whoever sent it: the rows show how far chance reaches.
            let is_judged = way == 1 || of.trunk.is_none();
            report_scores(&format!("{}, {name}", of.name), &ours, &theirs, is_judged);
        }
    }
    Ok(())
}

struct Bench {
    network: Network,
    trunk: Trunk,
    gateway: Gateway,
    rtpengine: RtpEngine,
    /// What the visitor says, what the far end says.
    programs: [Program; 2],
}

/// A call that is over.
struct Call {
    condition: usize,
    seed: u64,
    carrier: Carrier,
    /// By the far end, by the visitor; from the script's first sample on.
    heard: [Vec<f32>; 2],
}

impl Call {
    fn names(&self) -> [String; 2] {
        let of = CONDITIONS.get(self.condition).map_or("", |condition| condition.name);
        WAYS.map(|way| format!("{:?}, {of}, {way}, {}", self.carrier, self.seed))
    }
}

/// Of each carrier.
struct Cost {
    /// µs a packet that comes.
    cpu: [f64; 2],
    /// KiB a call.
    memory: [f64; 2],
}

struct Talking {
    condition: usize,
    seed: u64,
    carrier: Carrier,
    id: CallId,
    phone: JoinHandle<Vec<Heard>>,
    visitor: JoinHandle<Vec<Heard>>,
}

impl Bench {
    fn all_calls(&self) -> Result<Vec<Call>> {
        let (mut calls, mut costs) = (Vec::new(), Vec::new());
        for seed in SEEDS {
            let (of_round, cost) = self.round(seed)?;
            calls.extend(of_round);
            costs.push(cost);
        }
        let [first, ..] = costs.as_slice() else { return Ok(calls) };
        let cheapest = |carrier: fn(&Cost) -> f64| costs.iter().map(carrier).fold(f64::INFINITY, f64::min);
        let [ours, theirs] = [cheapest(|cost| cost.cpu[0]), cheapest(|cost| cost.cpu[1])];
        report(&format!("CPU, minimum of {} rounds", SEEDS.len()), ours, "µs a packet", theirs, true);
        // Rounds after the first find memory that was freed and kept.
        report("memory, first round", first.memory[0], "KiB a call", first.memory[1], true);
        Ok(calls)
    }

    /// All conditions and both gateways at the same time, so that whatever else the machine does befalls all alike.
    fn round(&self, seed: u64) -> Result<(Vec<Call>, Cost)> {
        let processes = [&self.gateway.process, &self.rtpengine.process];
        let all = |of: fn(&Process) -> Result<f64>| anyhow::Ok([of(processes[0])?, of(processes[1])?]);
        let idle = all(Process::memory)?;
        let at = Instant::now() + SETUP;
        let samples = self.programs.iter().map(|program| program.pcm.len()).max().unwrap_or_default();
        let end = at + Duration::from_millis((samples / (RATE / 1_000)) as u64 + 1_000);
        let mut talking = Vec::new();
        for condition in 0..CONDITIONS.len() {
            for carrier in CARRIERS {
                let call = self.call(condition, seed, carrier, at, end);
                talking.push(call.with_context(|| format!("{carrier:?} makes no call"))?);
            }
        }
        ensure!(Instant::now() + 2 * ear::LEAD < at, "the calls took too long to be set up");
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        let before = all(Process::cpu)?;
        let measured = end - Duration::from_millis(500);
        std::thread::sleep(measured.saturating_duration_since(Instant::now()));
        let (after, held) = (all(Process::cpu)?, all(Process::memory)?);
        // Both ways, every 20 ms.
        let packets = CONDITIONS.len() as f64 * 100.0 * measured.duration_since(at).as_secs_f64();
        let cpu = [(after[0] - before[0]) * 1e6 / packets, (after[1] - before[1]) * 1e6 / packets];
        let memory = [held[0] - idle[0], held[1] - idle[1]].map(|bytes| bytes / CONDITIONS.len() as f64 / 1024.0);
        let calls = talking.into_iter().map(|call| self.finish(call, at, samples)).collect::<Result<_>>()?;
        Ok((calls, Cost { cpu, memory }))
    }

    fn call(&self, condition: usize, seed: u64, carrier: Carrier, at: Instant, end: Instant) -> Result<Talking> {
        let Condition { visitor: visitors_loss, trunk: trunks_loss, .. } =
            CONDITIONS.get(condition).context("no condition")?;
        let path = |loss: &Option<f64>| loss.map_or(Impairment::NONE, |loss| Impairment { loss, jitter: JITTER });
        let [visitors_script, phones_script] =
            [&self.programs[0], &self.programs[1]].map(|program| Script { at, pcm: program.pcm.clone() });
        let (visitor, offer) = Visitor::new(IP)?;
        let phone = Phone::bind(IP)?;
        let id = CallId::from(format!("{carrier:?}-{condition}-{seed}").as_str());
        // The far end's side of the trunk's network: its address is known first.
        let line = self.network.relay(IP, (None, Some(phone.address)), path(trunks_loss), 100 * seed + 2)?;
        let (answer, gateway) = match carrier {
            Carrier::Ringlet => {
                self.trunk.expect(id.as_str(), line.near);
                let answer = self.gateway.offer(&id, &offer)?;
                self.gateway.dial(&id, id.as_str())?;
                (answer, self.trunk.caller_of(id.as_str())?)
            }
            Carrier::RtpEngine => {
                let towards_phone = self.rtpengine.offer(id.as_str(), &offer)?;
                (self.rtpengine.answer(id.as_str(), &trunk::answer(line.near))?, media_of(&towards_phone)?)
            }
        };
        line.set_near_end(gateway);
        let access = self.network.relay(IP, (None, Some(candidate_of(&answer)?)), path(visitors_loss), 100 * seed)?;
        let phone = phone.speak(line.far, phones_script, end)?;
        let loss = visitors_loss.unwrap_or_default() as i32;
        let visitor = visitor.speak(&answer, &access, visitors_script, loss, end)?;
        Ok(Talking { condition, seed, carrier, id, phone, visitor })
    }

    fn finish(&self, call: Talking, at: Instant, samples: usize) -> Result<Call> {
        let Talking { condition, seed, carrier, id, phone, visitor } = call;
        let [by_phone, by_visitor] = [phone, visitor].map(|it| it.join().unwrap_or_default());
        ensure!(
            by_phone.len() > 500 && by_visitor.len() > 500,
            "{id}: {} and {} packets",
            by_phone.len(),
            by_visitor.len()
        );
        if carrier == Carrier::Ringlet {
            self.gateway.release(&id)?;
        }
        let length = samples + RATE;
        let heard = [ear::telephone(&by_phone, at, length), ear::browser(&by_visitor, at, length)?];
        Ok(Call { condition, seed, carrier, heard })
    }
}

fn report_scores(name: &str, ours: &[Score], theirs: &[Score], is_judged: bool) {
    let values = |scores: &[Score], of: fn(&Score) -> Option<f64>| {
        let mut values: Vec<f64> = scores.iter().filter_map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    for (what, of) in
        [("PESQ", (|score| Some(score.pesq)) as fn(&Score) -> Option<f64>), ("ViSQOL", |score| score.visqol)]
    {
        let (ours, theirs) = (values(ours, of), values(theirs, of));
        report(&format!("{name}: {what}, minimum"), quantile(&ours, 0.0), "MOS", quantile(&theirs, 0.0), true);
        let (ours, theirs) = (quantile(&ours, 0.5), quantile(&theirs, 0.5));
        report(&format!("{name}: {what}, median"), ours, "MOS", theirs, !is_judged || ours > theirs - ALIKE);
    }
    let (ours, theirs) = (values(ours, |score| Some(score.delay_ms)), values(theirs, |score| Some(score.delay_ms)));
    report(&format!("{name}: mouth to ear, median"), quantile(&ours, 0.5), "ms", quantile(&theirs, 0.5), true);
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

#[expect(clippy::print_stdout, reason = "this is what the bench is for")]
fn report(name: &str, ours: f64, unit: &str, theirs: f64, holds: bool) {
    let peer = format!("rtpengine {theirs:.2}");
    let line = json!({
        "name": name, "value": ours, "unit": unit, "target": null, "holds": holds, "peer": peer, "ratio": ours / theirs,
    });
    println!("{line}");
}
