//! A server that imspec starts as a process of its own: in a folder of its own, where it waits until it is ready, keeps
//! what it prints, stops it, kills it and starts it again at the same ports.
//!
//! A server is never left behind: it has a process group of its own, which is killed when its handle is
//! dropped, and by a watcher should the harness itself be killed.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Child as Started;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::guard::Guard;
use super::log::Log;
use super::{Life, Process, signal};
use crate::sut::Pending;
use crate::sut::places::{Places, Ports};
use crate::sut::profile::{Command, FileContent, Ready};

/// How long a command of `prepare` may take.
const PREPARE: Duration = Duration::from_mins(1);

/// A server that imspec starts.
#[derive(Debug)]
pub struct Child {
    command: Command,
    places: Places,
    log: Arc<Log>,
    life: watch::Sender<Life>,
    running: Option<Running>,
    /// Nobody else takes them while it is down.
    _ports: Ports,
    /// Removed with everything in it when the handle is dropped; last, after the order to end.
    _folder: tempfile::TempDir,
}

#[derive(Debug)]
struct Running {
    orders: mpsc::Sender<Order>,
    watcher: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy)]
enum Order {
    /// Ask it to end; kill it when it has not by then.
    Stop(Duration),
    Kill,
}

impl Child {
    /// Makes the folder, the files and the ports of a server; it is not started yet.
    pub async fn prepare(command: &Command, profile: &Path, bind: IpAddr) -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix("imspec-sut-")
            .tempdir()
            .map_err(|e| format!("no temporary folder for the server: {e}"))?;
        let program =
            std::env::current_exe().map_err(|e| format!("own program file not found: {e}"))?;
        let ports = Ports::claim(bind, &command.ports)?;
        let places = Places {
            dir: Some(folder.path().to_owned()),
            ports: ports.numbers.clone(),
            profile: std::path::absolute(profile)
                .map_err(|e| format!("{}: {e}", profile.display()))?,
            program,
        };
        for (name, content) in &command.files {
            place_file(&places, folder.path(), name, content)?;
        }
        // A server may print what it was given, and whoever reads why it died need not know it.
        let secrets = command.env.iter().filter(|(name, _)| is_secret(name));
        let secrets = secrets.filter_map(|(_, value)| places.fill(value).ok());
        let secrets = secrets.filter(|value| !value.is_empty()).collect();
        let log = Arc::new(Log::new(&folder.path().join("sut.log"), secrets));
        let process = Self {
            command: command.clone(),
            places,
            _folder: folder,
            log,
            life: watch::Sender::new(Life::Stopped),
            running: None,
            _ports: ports,
        };
        for words in &process.command.prepare {
            process.run_to_end(words).await?;
        }
        Ok(process)
    }

    /// Its places.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// Starts it. Returns when it printed its ready line, or at once where readiness shows elsewhere.
    async fn started(&mut self) -> Result<(), String> {
        let words = self.filled(&self.command.command)?;
        let mut lines = self.log.lines();
        let mut child = self.spawn(&words)?;
        self.log.drain(child.stdout.take());
        self.log.drain(child.stderr.take());
        let (orders, taken) = mpsc::channel(1);
        self.life.send_replace(Life::Running);
        let watcher = tokio::spawn(watch_over(
            child,
            taken,
            self.life.clone(),
            Arc::clone(&self.log),
        ));
        self.running = Some(Running { orders, watcher });
        let Ready::Line(wanted) = &self.command.ready else {
            return Ok(());
        };
        let mut life = self.life.subscribe();
        let ready = async {
            loop {
                tokio::select! {
                    printed = lines.recv() => match printed {
                        Ok(printed) if wanted.is_match(&printed) => return Ok(()),
                        Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                        Err(tokio::sync::broadcast::error::RecvError::Closed) => return Err("its output ended".to_owned()),
                    },
                    Ok(ended) = life.wait_for(|life| *life != Life::Running) => {
                        return Err(match &*ended { Life::Died(how) => how.clone(), _ => "it was stopped".into() });
                    }
                }
            }
        };
        match tokio::time::timeout(self.command.ready_within, ready).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!(
                "it printed no line that matches `{wanted}` within {} s; its last lines:\n{}",
                self.command.ready_within.as_secs_f64(),
                self.log.tail()
            )),
        }
    }

    /// Ends it: cleanly, or with a SIGKILL that it cannot prepare for.
    async fn ended(&mut self, kill: bool) {
        let Some(running) = self.running.take() else {
            return;
        };
        // The watcher must not take this end for a death.
        self.life.send_replace(Life::Stopped);
        let order = if kill {
            Order::Kill
        } else {
            Order::Stop(self.command.stop_within)
        };
        let _ = running.orders.send(order).await;
        let _ = running.watcher.await;
    }

    fn filled(&self, words: &[String]) -> Result<Vec<String>, String> {
        words.iter().map(|word| self.places.fill(word)).collect()
    }

    fn spawn(&self, words: &[String]) -> Result<Started, String> {
        let (program, arguments) = words.split_first().ok_or("an empty command")?;
        let mut command = tokio::process::Command::new(program);
        command
            .args(arguments)
            .current_dir(self.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Its own group: a Ctrl-C is meant for the harness, which stops the server in its own time.
        #[cfg(unix)]
        command.process_group(0);
        for (name, value) in &self.command.env {
            command.env(name, self.places.fill(value)?);
        }
        command
            .spawn()
            .map_err(|e| format!("`{program}` cannot be started: {e}"))
    }

    async fn run_to_end(&self, words: &[String]) -> Result<(), String> {
        let words = self.filled(words)?;
        let child = self.spawn(&words)?;
        let _group = signal::Group::of(&child);
        let output = tokio::time::timeout(PREPARE, child.wait_with_output())
            .await
            .map_err(|_| {
                format!(
                    "`{}` did not end within {} s",
                    words.join(" "),
                    PREPARE.as_secs()
                )
            })?
            .map_err(|e| format!("`{}`: {e}", words.join(" ")))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!(
            "`{}` ended with {}: {}",
            words.join(" "),
            output.status,
            said.trim()
        ))
    }

    fn folder(&self) -> PathBuf {
        self.places.dir.clone().unwrap_or_default()
    }
}

impl Process for Child {
    fn life(&self) -> watch::Receiver<Life> {
        self.life.subscribe()
    }

    fn last_words(&self) -> Pending<'_, String> {
        Box::pin(async { self.log.tail() })
    }

    fn start(&mut self) -> Pending<'_, Result<(), String>> {
        Box::pin(self.started())
    }

    fn stop(&mut self, kill: bool) -> Pending<'_, Result<(), String>> {
        Box::pin(async move {
            self.ended(kill).await;
            Ok(())
        })
    }

    fn leave(&mut self) -> Pending<'_, Result<(), String>> {
        self.stop(false)
    }
}

/// Waits for the end of a server, or brings it about.
async fn watch_over(
    mut child: Started,
    mut orders: mpsc::Receiver<Order>,
    life: watch::Sender<Life>,
    log: Arc<Log>,
) {
    // Ends it should this process be killed.
    let _guard = Guard::over(&child);
    // Kills whatever is left of the group when this task ends or is dropped.
    let group = signal::Group::of(&child);
    let order = tokio::select! {
        status = child.wait() => {
            drop(group);
            log.settle().await;
            let how = match status {
                Ok(status) => status.to_string(),
                Err(e) => e.to_string(),
            };
            life.send_if_modified(|life| {
                let died = *life == Life::Running;
                if died {
                    *life = Life::Died(format!("the server ended by itself ({how}); its last lines:\n{}", log.tail()));
                }
                died
            });
            return;
        }
        // All senders gone: the handle was dropped.
        order = orders.recv() => order.unwrap_or(Order::Kill),
    };
    if let Order::Stop(within) = order {
        group.ask_to_end();
        if tokio::time::timeout(within, child.wait()).await.is_ok() {
            return;
        }
    }
    group.kill();
    let _ = child.kill().await;
}

fn place_file(
    places: &Places,
    folder: &Path,
    name: &str,
    content: &FileContent,
) -> Result<(), String> {
    let failed = |what: &Path, e: &dyn std::fmt::Display| format!("{}: {e}", what.display());
    let target = folder.join(name);
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent).map_err(|e| failed(parent, &e))?;
    }
    let octets = match content {
        FileContent::Text(text) => places.fill(text)?.into_bytes(),
        FileContent::Template(path) => {
            let text = std::fs::read_to_string(path).map_err(|e| failed(path, &e))?;
            places
                .fill(&text)
                .map_err(|e| failed(path, &e))?
                .into_bytes()
        }
        FileContent::Copy(path) => std::fs::read(path).map_err(|e| failed(path, &e))?,
    };
    std::fs::write(&target, octets).map_err(|e| failed(&target, &e))
}

/// Whether the name of a variable says that its value is nobody's business.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["PASS", "PWD", "SECRET", "TOKEN", "KEY", "CREDENTIAL"]
        .iter()
        .any(|word| name.contains(word))
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;
    use regex::Regex;

    fn shell(script: &str) -> Command {
        Command {
            command: vec!["sh".into(), "-c".into(), script.into()],
            prepare: Vec::new(),
            env: vec![("GREETING".into(), "hello ${port.sip}".into())],
            files: vec![("greeting".into(), FileContent::Text("from ${dir}".into()))],
            ready: Ready::Line(Regex::new("^ready").unwrap()),
            ready_within: Duration::from_secs(30),
            stop_within: Duration::from_secs(30),
            instances: 1,
            ports: vec!["sip".into()],
        }
    }

    async fn prepared(script: &str) -> Child {
        Child::prepare(&shell(script), Path::new("."), IpAddr::from([127, 0, 0, 1]))
            .await
            .unwrap()
    }

    async fn ended(process: &Child) -> Life {
        let mut life = process.life();
        life.wait_for(|life| *life != Life::Running)
            .await
            .unwrap()
            .clone()
    }

    #[tokio::test]
    async fn starts_in_a_folder_with_files_and_ports() {
        let mut process =
            prepared("echo \"$GREETING\"; cat greeting; echo; echo ready; exec sleep 600").await;
        process.start().await.unwrap();
        let said = process.last_words().await;
        let port = process.places().ports["sip"];
        assert!(said.contains(&format!("hello {port}")), "{said}");
        assert!(said.contains("from /"), "{said}");
        assert_eq!(*process.life().borrow(), Life::Running);
        process.stop(true).await.unwrap();
        assert_eq!(*process.life().borrow(), Life::Stopped);
    }

    #[tokio::test]
    async fn stops_cleanly_and_starts_again_in_the_same_folder() {
        let script = "trap 'echo stopped >> journal; exit 0' TERM; echo started >> journal; cat journal; echo ready; \
                      while :; do sleep 0.05; done";
        let mut process = prepared(script).await;
        process.start().await.unwrap();
        process.stop(false).await.unwrap();
        process.start().await.unwrap();
        let journal = std::fs::read_to_string(process.folder().join("journal")).unwrap();
        assert_eq!(journal, "started\nstopped\nstarted\n");
        process.stop(true).await.unwrap();
        let journal = std::fs::read_to_string(process.folder().join("journal")).unwrap();
        assert_eq!(
            journal, "started\nstopped\nstarted\n",
            "a kill leaves no time for last words"
        );
    }

    #[tokio::test]
    async fn death_is_noticed_and_explained() {
        let mut process = prepared("echo ready; echo 'no memory left' >&2; exit 3").await;
        // It may be gone before its ready line was read.
        let _ = process.start().await;
        let Life::Died(how) = ended(&process).await else {
            panic!("not dead")
        };
        assert!(
            how.contains("exit status: 3") && how.contains("no memory left"),
            "{how}"
        );
    }

    #[tokio::test]
    async fn ends_before_ready() {
        let why = prepared("echo broken configuration; exit 1")
            .await
            .start()
            .await
            .unwrap_err();
        assert!(why.contains("broken configuration"), "{why}");
    }

    #[tokio::test]
    async fn nothing_is_left_behind() {
        let mut process = prepared("sleep 600 & echo $! > child; echo ready; wait").await;
        process.start().await.unwrap();
        let child = std::fs::read_to_string(process.folder().join("child")).unwrap();
        let alive = || Path::new("/proc").join(child.trim()).join("stat");
        let zombie_or_gone =
            || std::fs::read_to_string(alive()).map_or(true, |stat| stat.contains(") Z "));
        if !Path::new("/proc/self/stat").exists() {
            return;
        }
        assert!(!zombie_or_gone());
        let watcher = process
            .running
            .as_ref()
            .map(|running| running.watcher.abort_handle())
            .unwrap();
        drop(process);
        while !(watcher.is_finished() && zombie_or_gone()) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_failing_preparation_is_explained() {
        let mut command = shell("");
        command.prepare = vec![vec![
            "sh".into(),
            "-c".into(),
            "echo no database >&2; exit 2".into(),
        ]];
        let why = Child::prepare(&command, Path::new("."), IpAddr::from([127, 0, 0, 1]))
            .await
            .unwrap_err();
        assert!(why.contains("no database"), "{why}");
    }
}
