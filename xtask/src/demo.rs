//! The five-minute tour: builds everything, serves the digits, sends a picture that training never saw.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bundles::Example;
use crate::setup::{Workspace, step};

/// Build everything, serve the digits example, and send it a picture
#[derive(clap::Args)]
pub struct Demo {
    /// Stop after the first answer instead of serving on
    #[arg(long)]
    exit: bool,
}

impl Demo {
    pub fn run(self) -> Result<()> {
        let workspace = Workspace::find()?;
        workspace.build_host()?;
        workspace.build_plugins()?;
        let models = workspace.target.join("demo-models");
        for example in Example::digits(&workspace) {
            example.assemble(&workspace, &models)?;
        }
        step("starting the host");
        let mut host = Host::start(&workspace, &models, self.exit)?;
        let picture = a_picture(&workspace.root.join("examples/digits/held-out"))?;
        show(&picture)?;
        let answer = ask(&host.address, "digits", &picture.path)?;
        println!("\n{answer:#}\n");
        let label = answer["outputs"][0]["data"][0].as_str().unwrap_or_default();
        println!("The host says {label}; the person who wrote it meant {}.", picture.digit);
        println!("\nAsk again:\n  {}", curl(&host.address, &workspace.root, &picture.path));
        if label != picture.digit {
            bail!("the answer is wrong");
        }
        if self.exit {
            println!("\nThe host was on http://{} and stops now; without --exit it goes on.", host.address);
            return Ok(());
        }
        println!("\nServing on http://{}; metrics on http://{}/metrics. Ctrl-C stops it.", host.address, host.admin);
        host.wait()
    }
}

/// The running program; it ends with this value.
struct Host {
    process: Child,
    address: String,
    admin: String,
}

impl Host {
    fn start(workspace: &Workspace, models: &Path, any_port: bool) -> Result<Host> {
        let mut command = Command::new(workspace.host_binary());
        command
            .args(["serve", "--dev"])
            .arg("--models")
            .arg(models)
            .args(["--log-level", "warn"])
            .stdout(Stdio::piped());
        if any_port {
            command.args(["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        }
        let mut process = command.spawn().with_context(|| format!("{command:?}"))?;
        let output = process.stdout.take().context("no standard output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let Ok(addresses) = serde_json::from_str::<Value>(&line) else {
            let status = process.wait()?;
            bail!("the host did not start ({status}); is another one running on its ports?");
        };
        let address = |key: &str| addresses[key].as_str().unwrap_or_default().to_owned();
        Ok(Host { address: address("http"), admin: address("admin"), process })
    }

    fn wait(&mut self) -> Result<()> {
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A held-out picture; its file is named `NN-is-D.png`.
struct Picture {
    path: PathBuf,
    digit: String,
}

fn a_picture(folder: &Path) -> Result<Picture> {
    let mut pictures: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    pictures.sort();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs() as usize;
    let path = pictures.get(now % pictures.len().max(1)).context("no held-out pictures")?.clone();
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let digit = stem.rsplit('-').next().unwrap_or_default().to_owned();
    Ok(Picture { path, digit })
}

fn ask(address: &str, model: &str, picture: &Path) -> Result<Value> {
    let url = format!("http://{address}/v2/models/{model}/infer");
    let mut reply = ureq::post(&url).content_type("image/png").send(&std::fs::read(picture)?)?;
    Ok(serde_json::from_str(&reply.body_mut().read_to_string()?)?)
}

fn curl(address: &str, root: &Path, picture: &Path) -> String {
    let picture = picture.strip_prefix(root).unwrap_or(picture).display();
    format!("curl -H 'content-type: image/png' --data-binary @{picture} http://{address}/v2/models/digits/infer")
}

/// Draws the picture with one character for each of its 8 by 8 cells, twice as wide as high, as letters are not.
fn show(picture: &Picture) -> Result<()> {
    let decoder = png::Decoder::new(BufReader::new(std::fs::File::open(&picture.path)?));
    let mut reader = decoder.read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().context("picture too large")?];
    let frame = reader.next_frame(&mut pixels)?;
    let cell = (frame.width as usize / 8).max(1);
    println!();
    for y in (cell / 2..frame.height as usize).step_by(cell) {
        let shade = |x: usize| [" ", "░", "▒", "▓", "█"][pixels[y * frame.width as usize + x] as usize * 4 / 255];
        let row: String = (cell / 2..frame.width as usize).step_by(cell).map(|x| shade(x).repeat(2)).collect();
        println!("    {row}");
    }
    Ok(())
}
