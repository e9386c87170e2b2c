//! The built-in bootstrap, run whole under a root of its own, with stand-ins for what would touch the machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use super::user_data::render_in;
use crate::config::{Image, Launch, UserData};

const JIT: &str = "eyJhIjoiSklUIn0+/w==";

/// A machine that has just booted: everything below one directory, each command that it may call written to `calls`.
struct Host {
    root: TempDir,
}

impl Host {
    /// A stock image: no runner, no user, no network.
    fn stock() -> Self {
        let host = Self { root: tempfile::tempdir().unwrap() };
        for directory in ["dev", "bin", "var/tmp", "imds/spot"] {
            fs::create_dir_all(host.path(directory)).unwrap();
        }
        for name in ["shutdown", "poweroff", "useradd", "chown", "systemd-run"] {
            host.stand_in(name, "");
        }
        host.stand_in("id", "exit 1");
        host.stand_in("pgrep", "exit 1");
        host.stand_in("sleep", "exit 1");
        host.stand_in(
            "curl",
            r#"url=${!#}
            case $url in
              http://169.254.169.254/latest/api/token) echo token ;;
              http://169.254.169.254/latest/meta-data/*) cat "$root/imds/${url#*meta-data/}" 2>/dev/null || exit 22 ;;
              *) while [ "$1" != -o ]; do shift; done; cp "$root/release.tgz" "$2" 2>/dev/null || exit 22 ;;
            esac"#,
        );
        // What systemd does with the unit, as far as it matters here.
        host.stand_in(
            "systemctl",
            r#"[ "$*" = 'start ghascale-runner' ] || exit 0
            unit=$root/etc/systemd/system/ghascale-runner.service
            environment=$(sed -n 's/^EnvironmentFile=//p' "$unit")
            stat -c 'mode of %n: %a' "$environment" >>"$root/calls"
            . "$environment"
            export ACTIONS_RUNNER_INPUT_JITCONFIG
            exec "$(sed -n 's/^ExecStart=//p' "$unit")""#,
        );
        host
    }

    /// An image that brings the runner and its user.
    fn prepared() -> Self {
        let host = Self::stock();
        host.stand_in("id", "");
        fs::create_dir_all(host.path("opt/actions-runner")).unwrap();
        host.runner("opt/actions-runner/run.sh");
        host
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn script(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn stand_in(&self, name: &str, body: &str) {
        let root = self.root.path().display();
        self.script(
            &format!("bin/{name}"),
            &format!("#!/bin/bash\nroot='{root}'\necho \"{name} $*\" >>\"$root/calls\"\n{body}\n"),
        );
    }

    /// A runner that keeps the JIT config it was started with.
    fn runner(&self, path: &str) {
        let received = self.path("received");
        let text = format!("#!/bin/bash\nprintf %s \"$ACTIONS_RUNNER_INPUT_JITCONFIG\" >'{}'\n", received.display());
        self.script(path, &text);
    }

    fn bash(&self, arguments: &[&str]) -> Output {
        Command::new("bash")
            .args(arguments)
            .current_dir(self.root.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.path("bin").display()))
            .output()
            .unwrap()
    }

    fn boot(&self) -> Output {
        let root = self.root.path().to_str().unwrap();
        let script = render_in(root, &launch(), &"acme-linux-001".into(), &SecretString::from(JIT)).unwrap();
        self.script("user-data", script.expose_secret());
        let output = self.bash(&[self.path("user-data").to_str().unwrap()]);
        assert!(!self.path("run/ghascale/jit.env").exists(), "the JIT config's file is left behind");
        let shown = format!("{output:?}{}{}", self.calls(), self.read("dev/console"));
        assert!(!shown.contains(JIT), "the JIT config is shown: {shown}");
        output
    }

    fn watch(&self, what: &str) {
        let output = self.bash(&[self.path("opt/ghascale/watch.sh").to_str().unwrap(), what]);
        assert!(output.status.success(), "{output:?}");
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_default()
    }

    fn calls(&self) -> String {
        self.read("calls").replace(self.root.path().to_str().unwrap(), "")
    }

    fn called(&self, call: &str) -> bool {
        self.calls().lines().any(|line| line == call)
    }
}

fn launch() -> Launch {
    Launch {
        image: Image::Ami("ami-1".to_owned()),
        security_groups: Vec::new(),
        tags: [].into(),
        user_data: UserData::BuiltIn,
        idle_timeout: Duration::from_mins(10),
        max_lifetime: Duration::from_hours(12),
    }
}

#[test]
fn the_runner_is_handed_its_jit_config_and_the_machine_stays_up() {
    let host = Host::prepared();
    let output = host.boot();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(host.read("received"), JIT);
    assert!(!host.called("poweroff "), "{}", host.calls());
    assert!(!host.called("useradd --create-home --shell /bin/bash runner"), "the image's user is made anew");
    assert!(host.read("dev/console").contains("acme-linux-001 started"));
}

#[test]
fn every_timer_is_set_before_the_runner_starts() {
    let host = Host::prepared();
    host.boot();
    let calls = host.calls();
    let at = |call: &str| calls.lines().position(|line| line == call).unwrap_or_else(|| panic!("{call} in\n{calls}"));
    let start = at("systemctl start ghascale-runner");
    assert_eq!(at("shutdown -P +720"), 0);
    assert!(at("systemd-run --unit=ghascale-idle --on-active=600 /opt/ghascale/watch.sh idle") < start);
    assert!(at("systemd-run --unit=ghascale-spot /opt/ghascale/watch.sh spot") < start);
    let unit = host.read("etc/systemd/system/ghascale-runner.service");
    for line in ["SuccessAction=poweroff-force", "FailureAction=poweroff-force", "RuntimeMaxSec=43200", "User=runner"] {
        assert!(unit.lines().any(|found| found == line), "{line} in\n{unit}");
    }
}

#[test]
fn only_root_can_read_the_file_with_the_jit_config() {
    let host = Host::prepared();
    host.boot();
    assert!(host.called("mode of /run/ghascale/jit.env: 600"), "{}", host.calls());
}

#[test]
fn what_an_image_left_of_another_registration_is_removed() {
    let host = Host::prepared();
    for name in [".runner", ".credentials", ".credentials_rsaparams"] {
        fs::write(host.path("opt/actions-runner").join(name), "stale").unwrap();
    }
    host.boot();
    assert_eq!(fs::read_dir(host.path("opt/actions-runner")).unwrap().count(), 1);
}

#[test]
fn without_a_runner_and_without_a_network_it_powers_off() {
    let host = Host::stock();
    let output = host.boot();
    assert!(!output.status.success(), "{output:?}");
    assert!(host.called("poweroff "), "{}", host.calls());
    assert!(!host.called("systemctl start ghascale-runner"));
    assert!(host.read("dev/console").contains("could not be fetched"));
}

#[test]
fn a_runner_with_another_checksum_is_not_unpacked() {
    let host = Host::stock();
    fs::write(host.path("release.tgz"), "not the runner").unwrap();
    host.boot();
    assert!(host.called("poweroff "), "{}", host.calls());
    assert!(host.read("dev/console").contains("another checksum"));
    assert!(!host.path("opt/actions-runner").exists());
}

#[test]
fn a_stock_image_gets_the_runner_and_its_user() {
    let host = Host::stock();
    fs::create_dir_all(host.path("release/bin")).unwrap();
    host.runner("release/run.sh");
    host.script("release/bin/installdependencies.sh", "#!/bin/bash\nexit 1\n");
    let archive = host.path("release.tgz");
    let packed =
        Command::new("tar").args(["-czf", archive.to_str().unwrap(), "-C"]).arg(host.path("release")).arg(".").status();
    assert!(packed.unwrap().success());
    host.stand_in("sha256sum", "cat >/dev/null");
    let output = host.boot();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(host.read("received"), JIT);
    assert!(host.called("useradd --create-home --shell /bin/bash runner"), "{}", host.calls());
    assert!(host.called("chown -R runner: /opt/actions-runner"), "{}", host.calls());
}

#[test]
fn a_runner_that_does_not_start_powers_off() {
    let host = Host::prepared();
    host.script("opt/actions-runner/run.sh", "#!/bin/bash\nexit 1\n");
    host.boot();
    assert!(host.called("poweroff "), "{}", host.calls());
}

#[test]
fn without_its_timers_nothing_is_started() {
    for broken in ["shutdown", "systemd-run"] {
        let host = Host::prepared();
        host.stand_in(broken, "exit 1");
        host.boot();
        assert!(host.called("poweroff "), "{broken}: {}", host.calls());
        assert!(!host.called("systemctl start ghascale-runner"), "{broken}");
    }
}

#[test]
fn the_idle_timer_powers_off_only_where_no_job_came() {
    let host = Host::prepared();
    host.boot();
    host.watch("idle");
    assert!(host.called("systemctl stop ghascale-runner"), "{}", host.calls());
    assert!(host.called("poweroff "), "{}", host.calls());
}

#[test]
fn the_idle_timer_leaves_a_machine_whose_job_has_started() {
    let host = Host::prepared();
    host.boot();
    let hook = host.path("opt/ghascale/job-started.sh");
    assert!(host.bash(&[hook.to_str().unwrap()]).status.success());
    host.watch("idle");
    assert!(!host.called("poweroff "), "{}", host.calls());
}

#[test]
fn the_idle_timer_leaves_a_machine_whose_worker_is_just_starting() {
    let host = Host::prepared();
    host.boot();
    host.stand_in("pgrep", "");
    host.watch("idle");
    assert!(!host.called("poweroff "), "{}", host.calls());
}

/// A spot instance that gets its notice while the watcher waits.
fn spot() -> Host {
    let host = Host::prepared();
    host.boot();
    fs::write(host.path("imds/instance-life-cycle"), "spot").unwrap();
    fs::write(host.path("imds/instance-id"), "i-1").unwrap();
    host.stand_in("sleep", "echo '{\"action\":\"terminate\"}' >\"$root/imds/spot/instance-action\"");
    host
}

#[test]
fn a_spot_notice_stops_a_runner_that_has_no_job() {
    let host = spot();
    host.watch("spot");
    assert!(host.called("systemctl stop ghascale-runner"), "{}", host.calls());
    assert!(host.called("poweroff "), "{}", host.calls());
}

#[test]
fn a_spot_notice_leaves_a_job_its_two_minutes() {
    let host = spot();
    host.stand_in("pgrep", "");
    host.watch("spot");
    assert!(!host.called("poweroff "), "{}", host.calls());
    assert!(host.read("dev/console").contains("takes this instance back"));
}

#[test]
fn on_demand_instances_are_not_watched_for_notices() {
    let host = Host::prepared();
    host.boot();
    fs::write(host.path("imds/instance-life-cycle"), "on-demand").unwrap();
    host.watch("spot");
    assert!(!host.called("sleep 5"), "{}", host.calls());
}
