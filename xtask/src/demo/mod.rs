//! `cargo xtask demo`: the five-minute tour. The bundle goes the way of any publisher's bundle: a key is made, the bundle
//! is signed and packed, the publisher is trusted, and the bundle is uploaded. Then a picture that was not used for
//! training is sent to it.

mod host;
mod picture;

use std::path::Path;

use anyhow::{Result, bail};

use crate::bundles::Example;
use crate::setup::{Workspace, step};
use host::{Shell, ports_are_free};
use picture::{a_picture, show};

/// Build everything, sign and upload the digits example, and send it a picture
#[derive(clap::Args)]
pub(crate) struct Demo {
    /// Use free ports, and stop after the first answer instead of serving on
    #[arg(long)]
    exit: bool,
}

/// The commands of a publisher, and then of an operator who got the archive and the public key.
const COMMANDS: [&str; 7] = [
    "key new publisher",
    "bundle sign digits --key publisher.pem",
    "bundle pack digits -o digits.tar.zst",
    "bundle verify digits.tar.zst --key publisher.pub",
    "publisher trust bulkhead --key publisher.pub --imports assets",
    "bundle push digits.tar.zst",
    "model list",
];

impl Demo {
    pub(crate) fn run(self) -> Result<()> {
        let workspace = Workspace::find()?;
        workspace.build_host()?;
        workspace.build_plugins()?;
        if !self.exit {
            ports_are_free()?;
        }
        let mut shell = Shell::new(&workspace, if self.exit { "demo-exit" } else { "demo" })?;
        for example in Example::digits(&workspace) {
            example.assemble(&workspace, &shell.folder)?;
        }
        step("you can run all of these commands yourself");
        println!("\n$ export PATH={}:$PATH", workspace.target.join("release").display());
        println!("$ cd {}", shell.folder.display());
        let mut host = shell.serve(self.exit)?;
        COMMANDS.iter().try_for_each(|command| shell.bulkhead(command))?;
        let picture = a_picture(&workspace.root.join("examples/digits/held-out"))?;
        show(&picture)?;
        println!("\n$ {}", curl(&host.address, &picture.path));
        let answer = host.ask("digits", &picture.path)?;
        println!("{answer:#}\n");
        let label = answer["outputs"][0]["data"][0].as_str().unwrap_or_default();
        println!("The host says {label}; the person who wrote it meant {}.", picture.digit);
        if label != picture.digit {
            bail!("the answer is wrong");
        }
        if self.exit {
            println!("\nThe host was on http://{} and stops now; without --exit it keeps running.", host.address);
            return Ok(());
        }
        println!("\nServing on http://{}; the operator's port is {}. Ctrl-C stops it.", host.address, host.admin);
        println!("Read on in docs/operator-guide.md.");
        host.wait()
    }
}

fn curl(address: &str, picture: &Path) -> String {
    let picture = picture.display();
    format!("curl -H 'content-type: image/png' --data-binary @{picture} http://{address}/v2/models/digits/infer")
}
