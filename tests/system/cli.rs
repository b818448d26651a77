//! The tour of the operator's guide: the real program runs every command against a real host.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use system_tests::{Host, Start, component, identity, prepared, wait_until};
use tempfile::TempDir;

/// The shell of an operator who is also a publisher: a folder with bundles, and the host that the commands talk to.
struct Shell {
    host: Host,
    folder: TempDir,
}

impl Shell {
    fn start() -> Result<Shell> {
        let shell = Shell { host: Start::default().start()?, folder: tempfile::tempdir()? };
        for version in ["1.0.0", "1.1.0"] {
            shell.make_bundle(version)?;
        }
        shell.run("key new acme")?;
        shell.run("bundle sign 1.0.0 --key acme.pem")?;
        shell.run("bundle sign 1.1.0 --key acme.pem")?;
        Ok(shell)
    }

    /// Makes a bundle in a folder named after its version.
    fn make_bundle(&self, version: &str) -> Result<()> {
        let bundle = self.path().join(version);
        fs::create_dir(&bundle)?;
        let manifest = identity("echo", "FP32", &[-1]).replace("test/", "acme/").replace("1.0.0", version);
        fs::write(bundle.join("bundle.toml"), manifest)?;
        fs::copy(component("identity"), bundle.join("identity.wasm"))?;
        Ok(())
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn command(&self, command: &str) -> Command {
        let mut program = Command::new(prepared("BULKHEAD_BINARY"));
        program.args(command.split(' ')).current_dir(self.path());
        program.env("BULKHEAD_ADMIN", &self.host.admin_url).env("BULKHEAD_TOKEN", &self.host.token);
        program
    }

    fn output(&self, command: &str) -> Result<Output> {
        Ok(self.command(command).output()?)
    }

    /// Runs a command, which must succeed, and returns its standard output.
    #[track_caller]
    fn run(&self, command: &str) -> Result<String> {
        let output = self.output(command)?;
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs commands, each of which must succeed and print its text.
    #[track_caller]
    fn tour(&self, commands: &[(&str, &str)]) -> Result<()> {
        for (command, wanted) in commands {
            let said = self.run(command)?;
            assert!(said.contains(wanted), "{command}: {wanted} is not in:\n{said}");
        }
        Ok(())
    }

    #[track_caller]
    fn refused(&self, command: &str, code: i32, wanted: &str) -> Result<()> {
        let output = self.output(command)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{command}: {said}");
        assert!(said.contains(wanted), "{command}: {wanted} is not in:\n{said}");
        Ok(())
    }

    fn json(&self, command: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.run(&format!("{command} --json"))?)?)
    }

    /// The version that answers a call with this key.
    fn served(&self, key: &str) -> Result<Value> {
        let body = json!({ "inputs": [{ "name": "input", "datatype": "FP32", "shape": [1], "data": [1.5] }] });
        let reply = self.host.ask_as(key, "POST", "/v2/models/echo/infer", &body)?;
        assert_eq!(reply.status, 200, "{reply:?}");
        Ok(reply.json()["model_version"].take())
    }
}

#[test]
fn a_bundle_goes_from_its_publisher_to_a_client_and_is_taken_back() -> Result<()> {
    let shell = Shell::start()?;
    shell.refused("bundle push 1.0.0", 1, "bulkhead publisher trust")?;
    shell.refused("bundle push 1.0.0", 1, "in the host's log)")?;
    shell.host.wait_for_log(&["request refused", "untrusted"])?;
    shell.tour(&[
        ("publisher list", "no publishers are trusted"),
        ("publisher trust acme --key acme.pub --names other/thing", "other/thing"),
    ])?;
    shell.refused("bundle push 1.0.0", 1, "may publish other/thing")?;
    let ended = shell.run("publisher trust acme --key acme.pub --names acme/* --not-after 2020-01-01")?;
    assert!(ended.contains("ended"), "{ended}");
    shell.refused("bundle push 1.0.0", 1, "until 2020-01-01")?;
    shell.tour(&[
        ("publisher trust acme --key acme.pub --not-after never --imports logging,assets", "assets, logging"),
        ("tenant create shop concurrency=4", "its own"),
        ("bundle push 1.0.0 --tenant shop", "clients call it with POST /v2/models/echo/versions/1.0.0/infer"),
        ("bundle push 1.0.0 --tenant shop", "was there already"),
    ])?;
    let key = shell.run("tenant key create shop --role infer --expires 90d --note till")?.trim().to_owned();
    assert!(key.starts_with("bh_") && !key.contains(char::is_whitespace), "{key}");
    assert_eq!(shell.served(&key)?, "1.0.0");
    fs::write(shell.path().join("1.0.0/notes.txt"), "something else")?;
    shell.run("bundle sign 1.0.0 --key acme.pem")?;
    shell.refused("bundle push 1.0.0 --tenant shop", 1, "is there already with other contents")?;
    fs::remove_file(shell.path().join("1.0.0/notes.txt"))?;
    shell.run("bundle sign 1.0.0 --key acme.pem")?;
    shell.run("bundle pack 1.1.0 -o echo.tar.zst")?;
    shell.refused("bundle pack 1.0.0 -o echo.tar.zst", 1, "echo.tar.zst is there already: choose another name")?;
    shell.run("bundle pack 1.1.0 -o echo.tar.zst --overwrite")?;
    shell.tour(&[
        ("model label echo stable 1.0.0 --tenant shop", "serves 1.0.0"),
        ("bundle push echo.tar.zst --tenant shop", "activated"),
        (
            "model split echo 1.0.0=90 1.1.0=10 --sticky header:x-user --tenant shop",
            "serves requests without a version by its split\nsplit 1.0.0=90, 1.1.0=10 by header:x-user;",
        ),
        ("model split echo --remove --tenant shop", "no split"),
        ("model shadow echo 1.1.0 --percent 10 --tenant shop", "shadow 1.1.0 10%"),
        ("model shadow echo --remove --tenant shop", "no shadow"),
        ("model label echo stable 1.1.0 --tenant shop", "serves 1.1.0"),
    ])?;
    assert_eq!(shell.served(&key)?, "1.1.0");
    shell.tour(&[
        ("model rollback echo --tenant shop", "serves 1.0.0"),
        ("model retire echo 1.1.0 --tenant shop", "retired"),
        ("model activate echo 1.1.0 --tenant shop", "1.1.0"),
        ("model policy echo latest 2 --tenant shop", "latest=2"),
        ("model share echo everybody --tenant shop", "shared with everybody"),
        ("model list --tenant shop", "1.0.0 ready"),
    ])?;
    assert_eq!(shell.served("")?, "1.0.0", "shared with callers without a key");
    let usage = shell.json("tenant usage shop")?;
    let hint = shell.json("publisher list")?[0]["keys"][0]["hint"].take();
    let hint = hint.as_str().context("hint")?.to_owned();
    assert_eq!(usage["usage"][0]["requests"], 2, "{usage}");
    let digest = shell.json("model show echo --tenant shop")?["versions"][0]["digest"].take();
    let digest = digest.as_str().and_then(|digest| digest.strip_prefix("sha256:")).context("digest")?;
    assert!(shell.run("bundle list")?.contains(&format!("{}  ", &digest[..12])), "tables show 12 digits");
    shell.run(&format!("bundle revoke {} --reason leaks", &digest[..12]))?;
    shell.refused("bundle push 1.0.0 --tenant shop", 1, "was revoked (leaks) and cannot return")?;
    shell.tour(&[
        ("bundle list", "may not be served: revoked: leaks"),
        (
            "model show echo --tenant shop",
            "refuses requests without a version: model \"echo\": the label \"stable\" names",
        ),
        ("bundle delete acme/echo@1.0.0 --tenant shop", "deleted sha256:"),
        (&format!("publisher revoke acme --key {}", &hint[..12]), "revoked"),
        ("publisher remove acme", "no longer trusted"),
    ])?;
    shell.refused("publisher trust acme --key acme.pub", 1, "was revoked and cannot return")?;
    shell.refused("publisher trust other --key acme.pub", 1, "was revoked and cannot return")
}

#[test]
fn tenants_and_the_audit_log_are_kept() -> Result<()> {
    let shell = Shell::start()?;
    shell.tour(&[
        ("tenant create shop", "active"),
        ("tenant limits shop call-fuel=2M concurrency=3", "2 M        its own"),
        ("tenant limits shop concurrency=default", "concurrency     16"),
        ("tenant limits shop", "2 M        its own"),
        ("tenant list", "call-fuel=2 M"),
        ("tenant disable shop", "disabled"),
        ("tenant enable shop", "enabled"),
        ("tenant show shop", "stores 0 B"),
    ])?;
    let key = shell.json("tenant key create shop --role deploy")?;
    let (id, key) = (key["id"].as_str().context("id")?, key["key"].as_str().context("key")?);
    shell.refused(&format!("tenant list --token {key}"), 1, "needs a key with the role admin")?;
    shell.tour(&[
        (&format!("bundle list --token {key}"), "no bundles are stored"),
        ("tenant key list shop", "valid"),
        (&format!("tenant key revoke shop {id}"), "revoked"),
        ("tenant key list shop", "revoked"),
    ])?;
    shell.refused(&format!("bundle list --token {key}"), 1, "the admin token")?;
    shell.refused("tenant delete shop", 1, "confirm with --yes")?;
    let head = shell.run("audit verify")?;
    shell.tour(&[
        ("tenant delete shop --yes", "deleted"),
        ("tenant usage", "nothing was used yet"),
        ("audit list", "tenant delete"),
        (&format!("audit verify --noted {}", head.trim()), ":"),
    ])?;
    let entries = shell.json("audit list --after 1 --limit 2")?;
    let what: Vec<&Value> = entries.as_array().into_iter().flatten().map(|entry| &entry["what"]).collect();
    assert_eq!(what, ["tenant create", "tenant limits"]);
    assert!(entries[0]["at"].as_str().is_some_and(|at| at.starts_with("20") && at.ends_with('Z')), "{entries}");
    shell.refused("audit verify --noted 1:0000", 2, "is written as `count:hash`")?;
    Ok(())
}

#[test]
fn errors_of_commands_name_a_remedy() -> Result<()> {
    let shell = Shell::start()?;
    for (command, code, wanted) in [
        ("tenant create Shop", 1, "must have 1 to 64 lowercase letters"),
        ("tenant create shop fule=3", 2, "there is no limit \"fule\"; there are: call-fuel"),
        ("tenant create shop fuel", 2, "write key=value"),
        ("tenant key create default --role king", 2, "[possible values: infer, deploy, admin]"),
        ("tenant key create default --role infer --expires 90", 2, "with its unit, such as 90d"),
        ("publisher trust acme --key acme.pub --imports logging,disk", 2, "[possible values: assets, logging, graphs"),
        ("model label echo stable v1.0.0", 2, "\"v1.0.0\" is not a version; write three numbers"),
        ("model shadow echo 1.0.0 --percent 0", 2, "1..=100"),
        ("publisher trust acme", 1, "is new and needs a key"),
        ("publisher trust acme --key acme.pem", 1, "never give a private key away"),
        ("publisher trust acme --key acme.pub --not-after tomorrow", 2, "is not a time; write"),
        ("publisher revoke acme --key acme.pub", 1, "there is no publisher \"acme\""),
        ("model show none", 1, "there is no model \"none\""),
        ("model label echo stable", 2, "<VERSION>"),
        ("model policy echo latest", 2, "latest NUMBER"),
        ("model policy echo latest two", 2, "\"two\" is not a number of versions"),
        ("model policy echo specific 1.0", 2, "\"1.0\" is not a version"),
        ("model split echo 1.0.0=1 1.0.0=2", 2, "names a version twice"),
        ("model label echo", 2, "Usage: bulkhead model label <MODEL> <LABEL>"),
        ("tenant show", 2, "Usage: bulkhead tenant show <NAME>"),
        ("bundle delete sha256:1", 2, "is neither NAME@VERSION nor a digest"),
        ("bundle delete 012345", 1, "there is no bundle 012345; bulkhead bundle list shows"),
        ("bundle revoke acme/echo@1", 2, "\"1\" is not a version"),
        ("bundle push missing.tar", 1, "missing.tar"),
        ("serve --models .", 2, "is served with --dev only"),
        ("serve --dev --http 0.0.0.0:0", 2, "listens on loopback only"),
        ("tenant list --to http://127.0.0.1:8002/v1", 2, "has a path: name the operator's port alone"),
        ("tenant list --to ftp://x", 2, "must begin with http:// or https://"),
        ("tenant list --to 127.0.0.1:1", 1, "start a host with `bulkhead serve`"),
        ("tenant list --token wrong", 1, "the token is not this host's admin token, nor a key that it knows"),
        (&format!("tenant list --to {}", shell.host.url), 1, "the operator's port?"),
        (&format!("tenant list --to {}", shell.host.admin_url.replace("http:", "https:")), 1, "does not speak TLS"),
        ("bundle push 1.0.0 --token wrong", 1, "the admin token"),
    ] {
        shell.refused(command, code, wanted)?;
    }
    let refusal = shell.output("model show none --json")?;
    assert_eq!(serde_json::from_slice::<Value>(&refusal.stdout)?["code"], "not_found");
    Ok(())
}

/// A reader such as `head` closes the pipe early.
#[test]
fn a_closed_pipe_does_not_fail_a_command() -> Result<()> {
    let shell = Shell::start()?;
    let mut process = shell.command("tenant create shop").stdout(Stdio::piped()).spawn()?;
    drop(process.stdout.take());
    assert!(process.wait()?.success());
    shell.tour(&[("tenant list", "shop")])
}

#[test]
fn completions_fit_a_closed_pipe_and_name_no_worker() -> Result<()> {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let command = || {
            let mut program = Command::new(prepared("BULKHEAD_BINARY"));
            program.args(["completions", shell]);
            program
        };
        let output = command().output()?;
        let script = String::from_utf8(output.stdout)?;
        assert!(output.status.success() && script.contains("publisher"), "{shell}");
        // Values that are one of a few words are completed, where the shell's generator knows values.
        assert!(shell != "bash" || (script.contains("infer deploy admin") && script.contains("logging")), "{shell}");
        assert!(!script.contains("worker") && !script.contains("run-graphs"), "{shell}");
        let mut process = command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        drop(process.stdout.take());
        let output = process.wait_with_output()?;
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
    }
    Ok(())
}

/// With `--json` a list is an array, and anything else an object.
#[test]
fn commands_speak_json_in_one_shape() -> Result<()> {
    let shell = Shell::start()?;
    for (command, is_list) in [
        ("publisher trust acme --key acme.pub", false),
        ("publisher list", true),
        ("tenant create shop", false),
        ("tenant list", true),
        ("tenant key create shop --role infer", false),
        ("tenant key list shop", true),
        ("tenant disable shop", false),
        ("tenant usage", false),
        ("bundle list", true),
        ("model list", true),
        ("tenant delete shop --yes", false),
        ("publisher remove acme", false),
        ("audit list", true),
        ("audit verify", false),
    ] {
        let outcome = shell.json(command)?;
        assert!(if is_list { outcome.is_array() } else { outcome.is_object() }, "{command}: {outcome}");
    }
    Ok(())
}

#[test]
fn the_token_is_found_in_the_data_folder_of_this_machine() -> Result<()> {
    let shell = Shell::start()?;
    let mut program = Command::new(prepared("BULKHEAD_BINARY"));
    program.args(["tenant", "list", "--to", &shell.host.admin_url]).current_dir(shell.path());
    program.env_remove("BULKHEAD_TOKEN").env_remove("BULKHEAD_ADMIN");
    let without = program.output()?;
    let wanted = "bulkhead-data/admin.token cannot be read (No such file or directory). Name the host's data folder";
    assert!(String::from_utf8_lossy(&without.stderr).contains(wanted), "{without:?}");
    let with = program.arg("--data").arg(shell.host.data()).output()?;
    assert!(String::from_utf8_lossy(&with.stdout).contains("default"), "{with:?}");
    wait_until(|| Ok(shell.host.log().contains("serving")))
}
