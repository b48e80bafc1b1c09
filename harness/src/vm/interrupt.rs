//! Signals to a run whose machines are up: it ends them, keeps what was proven, and tells it.
//!
//! In: SIGINT, SIGTERM and SIGHUP, during [`during`]'s work. Out: [`Interrupt`], which the work
//! looks at. On SIGTSTP (Ctrl-Z) the machines stop before the harness, and go on with it: they are
//! in process groups of their own, which no terminal's signal reaches. After the first signal to
//! end, those have their default action: a second one ends the harness at once, and QEMU is killed
//! with it. A signal that was ignored at the start stays so, as nohup(1) and a shell's `&` mean it.
//!
//! A handler may do next to nothing, so it writes the signal's number to a pipe, which a thread
//! reads.

use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::signals;

/// The signals that are caught.
const CAUGHT: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGTSTP];

/// In the pipe: the work is done, and the thread is to end.
const DONE: u8 = 0;

/// From the handler to the thread. It is never closed, since a handler may run at any time.
static PIPE: OnceLock<(PipeReader, PipeWriter)> = OnceLock::new();

/// The pipe's end for the handler, and the process that it is meant for: a child has the handler
/// too, until it executes its program.
static WRITER: AtomicI32 = AtomicI32::new(-1);
static OWNER: AtomicI32 = AtomicI32::new(0);

/// What signals have asked of a run.
#[derive(Debug)]
pub struct Interrupt {
    /// The signal that asked it to end, or none as 0.
    signal: AtomicI32,
    /// Readable once the run is to end. Nobody reads it, so that every worker wakes up.
    wake: (PipeReader, PipeWriter),
    /// What is to stop with the harness.
    running: Mutex<Vec<Arc<dyn Stoppable>>>,
    pauses: Mutex<Pauses>,
}

/// Something that runs beside the harness, and is to stop when that does.
pub trait Stoppable: std::fmt::Debug + Send + Sync {
    /// Stops it.
    fn stop(&self);
    /// Lets it go on.
    fn go_on(&self);
}

/// Something that stops with the harness for as long as this value lives.
#[derive(Debug)]
pub struct Registered<'a> {
    interrupt: &'a Interrupt,
    what: Arc<dyn Stoppable>,
}

/// How long the run was stopped.
#[derive(Debug, Default)]
struct Pauses {
    total: Duration,
    since: Option<Instant>,
}

/// Tells the time for which a run has really run.
#[derive(Debug)]
pub struct Stopwatch<'a> {
    interrupt: &'a Interrupt,
    started: Instant,
    paused_before: Duration,
}

impl Stopwatch<'_> {
    /// The time since its start, without that for which the run was stopped.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        let paused = self.interrupt.paused().saturating_sub(self.paused_before);
        self.started.elapsed().saturating_sub(paused)
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let mut running = locked(&self.interrupt.running);
        running.retain(|other| !Arc::ptr_eq(other, &self.what));
    }
}

/// What these locks guard is whole between any two steps.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Interrupt {
    /// Nothing so far.
    ///
    /// # Errors
    /// No pipe can be made.
    pub fn nothing() -> Result<Self> {
        Ok(Self {
            signal: AtomicI32::new(0),
            wake: io::pipe().context("making a pipe for signals")?,
            running: Mutex::default(),
            pauses: Mutex::default(),
        })
    }

    /// The signal that asked the run to end.
    #[must_use]
    pub fn to_end(&self) -> Option<i32> {
        Some(self.signal.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }

    /// Is readable once the run is to end.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.wake.0.as_fd()
    }

    /// Has something stop with the harness.
    pub fn register(&self, what: Arc<dyn Stoppable>) -> Registered<'_> {
        locked(&self.running).push(Arc::clone(&what));
        Registered {
            interrupt: self,
            what,
        }
    }

    /// Starts to count.
    #[must_use]
    pub fn stopwatch(&self) -> Stopwatch<'_> {
        Stopwatch {
            interrupt: self,
            started: Instant::now(),
            paused_before: self.paused(),
        }
    }

    fn paused(&self) -> Duration {
        let pauses = locked(&self.pauses);
        let now = pauses.since.map_or(Duration::ZERO, |since| since.elapsed());
        pauses.total + now
    }

    /// Stops all that runs, then the harness itself, and lets all go on once that does.
    fn pause(&self) {
        // Locked, so that nothing is added or removed meanwhile.
        let running = locked(&self.running);
        locked(&self.pauses).since = Some(Instant::now());
        running.iter().for_each(|what| what.stop());
        default_action(libc::SIGTSTP);
        // Returns after SIGCONT; at once in an orphaned process group, which doesn't stop.
        raise(libc::SIGTSTP);
        catch(libc::SIGTSTP);
        running.iter().for_each(|what| what.go_on());
        let mut pauses = locked(&self.pauses);
        if let Some(since) = pauses.since.take() {
            pauses.total += since.elapsed();
        }
    }

    fn end(&self, signal: i32) {
        self.signal.store(signal, Ordering::SeqCst);
        // A pipe that is empty takes a byte, and its reader lives as long.
        let _ = (&self.wake.1).write_all(&[1]);
    }
}

/// Does the work, and meanwhile lets it know of signals. `tell` gets a line for a person.
///
/// # Errors
/// The signals can't be caught; the work isn't begun then.
pub fn during<R>(tell: impl Fn(String) + Sync, work: impl FnOnce(&Interrupt) -> R) -> Result<R> {
    let (reader, writer) = pipe()?;
    let interrupt = Interrupt::nothing()?;
    OWNER.store(own_pid(), Ordering::SeqCst);
    WRITER.store(writer.as_raw_fd(), Ordering::SeqCst);
    let handlers = Handlers::install(&CAUGHT)?;
    let caught: Vec<i32> = handlers.0.iter().map(|(signal, _)| *signal).collect();
    thread::scope(|scope| {
        scope.spawn(|| watch(reader, &caught, &interrupt, &tell));
        // Ends the thread however the work does, before the scope waits for it.
        let _handlers = handlers;
        Ok(work(&interrupt))
    })
}

fn pipe() -> Result<(&'static PipeReader, &'static PipeWriter)> {
    if PIPE.get().is_none() {
        let made = io::pipe().context("making a pipe for signals")?;
        // Another thread's would do as well.
        let _ = PIPE.set(made);
    }
    let (reader, writer) = PIPE.get().context("a pipe for signals")?;
    Ok((reader, writer))
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_pid()
}

/// Acts on what the handler notes, until the work is done.
fn watch(mut reader: &PipeReader, caught: &[i32], interrupt: &Interrupt, tell: &impl Fn(String)) {
    let mut noted = [DONE];
    while reader.read_exact(&mut noted).is_ok() && noted[0] != DONE {
        let signal = i32::from(noted[0]);
        if signal == libc::SIGTSTP {
            interrupt.pause();
            continue;
        }
        if interrupt.to_end().is_some() {
            // It came before the default action was back.
            default_action(signal);
            raise(signal);
            continue;
        }
        interrupt.end(signal);
        let to_end = caught.iter().filter(|signal| **signal != libc::SIGTSTP);
        to_end.copied().for_each(default_action);
        tell(format!(
            "{}: ending the machines and keeping what is proven; once more ends at once",
            signals::name(signal)
        ));
    }
}

/// The handler: notes the signal for the thread.
extern "C" fn note(signal: libc::c_int) {
    let byte = u8::try_from(signal).unwrap_or(DONE);
    // SAFETY: getpid(2) and write(2) may be called in a handler, the byte outlives the call, and
    // the pipe is never closed. The thread that was interrupted finds its errno as it was.
    unsafe {
        let errno = *libc::__errno_location();
        if byte != DONE && libc::getpid() == OWNER.load(Ordering::SeqCst) {
            libc::write(WRITER.load(Ordering::SeqCst), (&raw const byte).cast(), 1);
        }
        *libc::__errno_location() = errno;
    }
}

/// What the signals did before, to which they return with this value's end.
struct Handlers(Vec<(i32, libc::sigaction)>);

impl Handlers {
    fn install(signals: &[i32]) -> Result<Self> {
        let mut installed = Self(Vec::new());
        for &signal in signals {
            // SAFETY: all zeros are a valid sigaction, and this only asks for the present one.
            let (asked, before) = unsafe {
                let mut before: libc::sigaction = std::mem::zeroed();
                let asked = libc::sigaction(signal, std::ptr::null(), &mut before);
                (asked, before)
            };
            if asked == 0 && before.sa_sigaction == libc::SIG_IGN {
                continue;
            }
            let got = match asked {
                0 => catch(signal),
                failed => failed,
            };
            if got != 0 {
                return Err(io::Error::last_os_error())
                    .with_context(|| format!("catching {}", signals::name(signal)));
            }
            installed.0.push((signal, before));
        }
        Ok(installed)
    }
}

impl Drop for Handlers {
    fn drop(&mut self) {
        for (signal, before) in &self.0 {
            // SAFETY: this is what the kernel had given as the action before.
            unsafe { libc::sigaction(*signal, before, std::ptr::null_mut()) };
        }
        if let Some((_, writer)) = PIPE.get() {
            // It only fills up if nobody reads, and then nobody waits for this either.
            let _ = (&*writer).write_all(&[DONE]);
        }
    }
}

/// Makes [`note`] the signal's action.
fn catch(signal: i32) -> i32 {
    // SAFETY: all zeros are a valid sigaction with an empty mask, and what is installed is a
    // function that does only what a handler may.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = note as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(signal, &action, std::ptr::null_mut())
    }
}

fn default_action(signal: i32) {
    // SAFETY: the default action is no code of ours.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

fn raise(signal: i32) {
    // SAFETY: it has its default action, which runs no code of ours.
    unsafe { libc::raise(signal) };
}
