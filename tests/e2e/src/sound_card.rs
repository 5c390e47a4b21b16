//! A sound card for a machine that has none: PulseAudio with a loudspeaker and a microphone of samples alone, and between the two a room.
//! Not here: what is said in it, and what is made of that.

use crate::{process::Process, tone::Recording, wait::eventually};
use anyhow::{Context as _, Result, ensure};
use echo::room::Path as RoomPath;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What goes through the room at once: 10 ms.
const BLOCK: usize = 480;

/// What is louder was said: far below a voice, far above what a codec makes of silence.
const LOUD: f32 = 0.003;

/// What PulseAudio holds before the room and behind it. Less of the latter, and a busy machine tears holes.
const LATENCY_BEFORE: &str = "--latency-msec=10";
const LATENCY_BEHIND: &str = "--latency-msec=80";

/// Where the player says when it had nothing to play.
const PLAYER_LOG: &str = "pacat.log";

/// Samples a second.
const RATE: u32 = 48_000;

/// Samples as they are, 32-bit, at the only rate there is.
const RAW: [&str; 4] = ["--raw", "--format=float32le", "--rate=48000", "--channels=1"];

/// PulseAudio, with two devices that are both the default.
#[derive(Debug)]
pub struct SoundCard {
    /// A short path, as sockets need.
    folder: PathBuf,
    logs: PathBuf,
    _daemon: Process,
}

impl SoundCard {
    /// Starts it, with its log in `directory`.
    ///
    /// # Errors
    /// When PulseAudio does not come up.
    pub async fn start(directory: &Path) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("ringlet-sound-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        // Browsers open a device at the server's rate.
        fs::write(folder.join("daemon.conf"), "default-sample-rate = 48000\n")?;
        let socket = format!("module-native-protocol-unix socket={} auth-anonymous=1", folder.join("socket").display());
        let modules = [
            &socket,
            "module-null-sink sink_name=loudspeaker format=float32le rate=48000",
            "module-null-sink sink_name=air format=float32le rate=48000 channels=1",
            // What browsers take for a microphone is no monitor.
            "module-remap-source source_name=microphone master=air.monitor",
        ];
        // Nothing of the user's: neither the settings nor the session that a desktop runs PulseAudio in.
        let mut environment =
            vec![format!("HOME={}", folder.display()), format!("PULSE_RUNTIME_PATH={}", folder.display())];
        environment.push(format!("PULSE_CONFIG={}", folder.join("daemon.conf").display()));
        environment.push("DBUS_SESSION_BUS_ADDRESS=disabled:".to_owned());
        let mut arguments: Vec<&str> = environment.iter().map(String::as_str).collect();
        arguments.extend(["pulseaudio", "-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"]);
        arguments.extend(["--disallow-exit", "--log-target=stderr"]);
        arguments.extend(modules.iter().flat_map(|module| ["--load", module]));
        let mut daemon = Process::start("pulseaudio", directory, "env", &arguments)?;
        eventually("PulseAudio listens", Duration::from_secs(20), async || {
            daemon.require_running()?;
            ensure!(folder.join("socket").exists(), "no socket");
            Ok(())
        })
        .await?;
        // It makes itself as urgent as it thinks right.
        urge(daemon.id());
        let card = Self { folder, logs: directory.to_owned(), _daemon: daemon };
        for default in [["set-default-sink", "loudspeaker"], ["set-default-source", "microphone"]] {
            let status = card.client("pactl").args(default).stdin(Stdio::null()).status().context("pactl")?;
            ensure!(status.success(), "pactl {default:?} failed");
        }
        Ok(card)
    }

    /// As `PULSE_SERVER` names it.
    pub fn server(&self) -> String {
        format!("unix:{}", self.folder.join("socket").display())
    }

    /// Puts loudspeaker and microphone into a room.
    ///
    /// # Errors
    /// When a program of PulseAudio is missing.
    pub fn place(&self, scene: Scene) -> Result<Placed> {
        let (mut player, mut recorder) = (self.player()?, self.recorder()?);
        let from = recorder.0.stdout.take().context("no output")?;
        let to = player.0.stdin.take().context("no input")?;
        let sounds = thread::spawn(move || scene.sounds(from, to));
        Ok(Placed { recorder, _player: player, sounds, log: self.logs.join(PLAYER_LOG) })
    }

    /// Lets the microphone hear a sound of 48 kHz again and again, until what is returned is dropped.
    ///
    /// # Errors
    /// When a program of PulseAudio is missing.
    pub fn says(&self, sound: &Recording) -> Result<impl Drop + use<>> {
        let mut player = self.player()?;
        let mut to = player.0.stdin.take().context("no input")?;
        let bytes: Vec<u8> = sound.samples.iter().copied().flat_map(f32::to_le_bytes).collect();
        // Ends with the player.
        thread::spawn(move || while to.write_all(&bytes).is_ok() {});
        Ok(player)
    }

    /// What the loudspeaker plays in so many seconds from now on.
    ///
    /// # Errors
    /// When a program of PulseAudio is missing, or gives no sound.
    pub async fn heard(&self, seconds: u32) -> Result<Recording> {
        let mut recorder = self.recorder()?;
        let mut from = recorder.0.stdout.take().context("no output")?;
        let mut bytes = vec![0; (RATE * seconds * 4) as usize];
        let bytes = tokio::task::spawn_blocking(move || from.read_exact(&mut bytes).map(|()| bytes)).await??;
        let samples = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        Ok(Recording { rate: RATE, samples })
    }

    /// What is written to it, the microphone hears.
    fn player(&self) -> Result<Ended> {
        let mut player = self.client("pacat");
        player.args(RAW).args([LATENCY_BEHIND, "--device=air", "--playback", "--verbose"]);
        player.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(File::create(self.logs.join(PLAYER_LOG))?);
        Ok(Ended(player.spawn().context("pacat")?))
    }

    /// What is read from it, the loudspeaker plays.
    fn recorder(&self) -> Result<Ended> {
        let mut recorder = self.client("parec");
        recorder.args(RAW).args([LATENCY_BEFORE, "--device=loudspeaker.monitor"]);
        recorder.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(self.logs.join("parec.log"))?);
        Ok(Ended(recorder.spawn().context("parec")?))
    }

    /// A program of PulseAudio's, which ends when we do.
    fn client(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", program]);
        command.env("HOME", &self.folder).env("PULSE_SERVER", self.server());
        command
    }
}

impl Drop for SoundCard {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What the microphone gets.
#[derive(Debug)]
pub struct Scene {
    /// The room between loudspeaker and microphone, and how much of what comes through it.
    pub path: RoomPath,
    /// See `path`.
    pub gain: f32,
    /// What is always there, again and again.
    pub background: Vec<f32>,
    /// What the loudspeaker will play at some time.
    pub far: Vec<f32>,
    /// What is said beside that, from the same moment on.
    pub near: Vec<f32>,
}

impl Scene {
    /// Carries the sound until the loudspeaker is gone. The echo, from where the far end began.
    fn sounds(mut self, mut from: ChildStdout, mut to: ChildStdin) -> Result<Vec<f32>> {
        let is_loud = |sample: &f32| sample.abs() > LOUD;
        let lead = self.far.iter().position(is_loud).context("the far end says nothing")?;
        let mut background = self.background.iter().cycle();
        // Where we are in the far end's words, once that is known.
        let mut at: Option<usize> = None;
        let (mut bytes, mut all) = ([0; BLOCK * 4], Vec::new());
        while from.read_exact(&mut bytes).is_ok() {
            let played: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            at = at.or_else(|| Some(lead.saturating_sub(played.iter().position(is_loud)?)));
            let mut echo = self.path.process(&played);
            echo.iter_mut().for_each(|echo| *echo *= self.gain);
            let near = at.and_then(|at| self.near.get(at..)).unwrap_or_default();
            let near = near.iter().copied().chain(std::iter::repeat(0.0));
            let heard =
                echo.iter().zip(near).zip(&mut background).map(|((echo, near), background)| echo + near + background);
            to.write_all(&heard.flat_map(f32::to_le_bytes).collect::<Vec<u8>>()).context("pacat is gone")?;
            if let Some(at) = &mut at {
                *at += BLOCK;
                all.extend(echo);
            }
        }
        Ok(all)
    }
}

/// A loudspeaker and a microphone in a room.
#[derive(Debug)]
pub struct Placed {
    recorder: Ended,
    _player: Ended,
    sounds: JoinHandle<Result<Vec<f32>>>,
    log: PathBuf,
}

impl Placed {
    /// How often the microphone got nothing until now, because this machine was too busy.
    ///
    /// # Errors
    /// When the player's log cannot be read.
    pub fn holes(&self) -> Result<usize> {
        Ok(fs::read_to_string(&self.log)?.matches("underrun").count())
    }

    /// Takes them out of it. The echo that the microphone got, from where the far end began.
    ///
    /// # Errors
    /// When PulseAudio's programs have ended before.
    pub fn take_away(self) -> Result<Vec<f32>> {
        // Its end is the thread's.
        drop(self.recorder);
        self.sounds.join().map_err(|_| anyhow::anyhow!("the room's thread has panicked"))?
    }
}

/// Has the kernel serve a process, and all that it starts from now on, before everything that is not in a hurry: a browser that has to wait
/// plays and records holes. Who may not ask for that has to hope for a machine that does nothing else.
pub fn urge(process: u32) {
    let mut command = Command::new("chrt");
    command.args(["--rr", "--all-tasks", "--pid", "5", &process.to_string()]);
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// A program that is ended with its owner.
#[derive(Debug)]
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
