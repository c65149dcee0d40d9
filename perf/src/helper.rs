//! Processes beside the measured one, and how they are talked to: a line of JSON each way.
//!
//! A helper is this program again with another first argument. It says what it is when it is ready,
//! answers each line, and ends when its standard input does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A helper that runs; it does not outlive this.
#[derive(Debug)]
pub struct Helper {
    name: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts this program as the helper `name`; gives what it says when it is ready.
    ///
    /// # Errors
    /// It cannot be started, or ends at once.
    pub fn start<R: DeserializeOwned>(
        name: &'static str,
        arguments: &impl Serialize,
    ) -> anyhow::Result<(Self, R)> {
        let program = std::env::current_exe()?;
        let mut child = Command::new(program)
            .args([name, &serde_json::to_string(arguments)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("the helper {name} cannot be started"))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("piped")?);
        let mut helper = Self { name, child, input, output };
        let ready = helper.answer()?;
        Ok((helper, ready))
    }

    /// Asks something and waits for the answer.
    ///
    /// # Errors
    /// The helper has ended, or answers with an error.
    pub fn ask<R: DeserializeOwned>(&mut self, question: &impl Serialize) -> anyhow::Result<R> {
        self.tell(question)?;
        self.answer()
    }

    /// Asks something; [`Helper::answer`] waits for the answer.
    ///
    /// # Errors
    /// The helper has ended.
    pub fn tell(&mut self, question: &impl Serialize) -> anyhow::Result<()> {
        let input = self.input.as_mut().context("open")?;
        let line = serde_json::to_string(question)? + "\n";
        input.write_all(line.as_bytes()).with_context(|| format!("the helper {} has ended", self.name))
    }

    /// The answer to what was asked.
    ///
    /// # Errors
    /// The helper has ended, or answers with an error.
    pub fn answer<R: DeserializeOwned>(&mut self) -> anyhow::Result<R> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let answer: Result<R, String> =
            serde_json::from_str(&line).with_context(|| format!("the helper {} has ended", self.name))?;
        match answer {
            Ok(answer) => Ok(answer),
            Err(why) => bail!("the helper {}: {why}", self.name),
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // It ends with its input; if not, it has to.
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other side: says that it is ready, then answers until the input ends.
///
/// # Errors
/// The other side is gone.
pub fn serve<Q: DeserializeOwned, A: Serialize>(
    ready: &impl Serialize,
    mut answer: impl FnMut(Q) -> anyhow::Result<A>,
) -> anyhow::Result<()> {
    say(&Ok::<_, String>(ready))?;
    for line in std::io::stdin().lock().lines() {
        let question = serde_json::from_str(&line?)?;
        say(&answer(question).map_err(|error| format!("{error:#}")))?;
    }
    Ok(())
}

/// Waits, where there is no runtime that could be blocked: in the parent.
#[allow(clippy::disallowed_methods, reason = "the parent has no runtime")]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn say(answer: &impl Serialize) -> anyhow::Result<()> {
    let line = serde_json::to_string(answer)? + "\n";
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes())?;
    Ok(output.flush()?)
}
