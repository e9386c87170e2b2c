#!/bin/bash
# ghascale: one runner, one job, then power off, which terminates the instance. Every way out of here ends there too.
# An image may bring the runner in /opt/actions-runner and the user `runner`; what is missing is made.
set -u
umask 077
root='{{root}}' name='{{runner_name}}' idle='{{idle_timeout_seconds}}' life='{{max_lifetime_seconds}}'
runner=$root/opt/actions-runner ours=$root/opt/ghascale run=$root/run/ghascale units=$root/etc/systemd/system

say() { echo "ghascale: $*" | tee -a "$root/dev/console"; }
die() { say "$*"; exit 1; }
trap 'say "$name did not start: powering off"; poweroff' EXIT
shutdown -P +$(((life + 59) / 60)) || die 'the shutdown timer could not be set'

fetch() {
  # The checksums stand in the notes of https://github.com/actions/runner/releases/tag/v2.338.0
  local arch sum file version=2.338.0 archive=$root/var/tmp/actions-runner.tar.gz
  case $(uname -m) in
    x86_64) arch=x64 sum=af4b794c1bc41d73d40535e3fe092a39f9679cd8d965954c2aca25a05ca41d32 ;;
    aarch64) arch=arm64 sum=628b4a7258487b80c1d3c221095a7ded349f5ae0175fd3dfab708d07428f041b ;;
    *) die "there is no runner for $(uname -m)" ;;
  esac
  file=actions-runner-linux-$arch-$version.tar.gz
  say "fetching $file"
  curl -fsSL --retry 5 --retry-connrefused --connect-timeout 10 --max-time 240 -o "$archive" \
    "https://github.com/actions/runner/releases/download/v$version/$file" || die "$file could not be fetched"
  echo "$sum  $archive" | sha256sum -c - || die "$file has another checksum than it should"
  { mkdir -p "$runner" && tar -xzf "$archive" -C "$runner"; } || die "$file could not be unpacked"
  rm -f "$archive"
  "$runner/bin/installdependencies.sh" || say 'not all libraries could be installed: trying without'
}

id runner >/dev/null 2>&1 || useradd --create-home --shell /bin/bash runner || die 'the user could not be made'
[ -x "$runner/run.sh" ] || fetch
rm -f "$runner/.runner" "$runner/.credentials" "$runner/.credentials_rsaparams"
[ "$(stat -c %U "$runner")" = runner ] || chown -R runner: "$runner" || die 'the runner could not be handed over'

# The job-started hook leaves a mark in a directory that is the runner's.
{ mkdir -p "$run/job" "$ours" "$units" && chmod 755 "$run" "$ours" && chown runner: "$run/job"; } ||
  die 'our directories could not be made'
cat >"$ours/job-started.sh" <<END
#!/bin/bash
touch "$run/job/started"
END
cat >"$ours/watch.sh" <<END
#!/bin/bash
# Ends an instance that has no job: "idle" looks once, "spot" whenever EC2 may want it back.
run='$run' console='$root/dev/console'
END
cat >>"$ours/watch.sh" <<'END'
say() { echo "ghascale: $*" | tee -a "$console"; }
# The worker is there some moments before the mark.
busy() { [ -e "$run/job/started" ] || pgrep -f Runner.Worker >/dev/null; }
finish() { say "$*: powering off"; systemctl stop ghascale-runner; poweroff; exit 0; }
imds() { curl -sf --noproxy '*' -m 2 "$@"; }
renew() { token=$(imds -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 21600' http://169.254.169.254/latest/api/token); }
get() { imds -H "X-aws-ec2-metadata-token: $token" "http://169.254.169.254/latest/meta-data/$1"; }
case $1 in
  idle) busy || finish 'no job came' ;;
  spot)
    renew
    [ "$(get instance-life-cycle)" = spot ] || exit 0
    until get spot/instance-action >/dev/null; do
      sleep 5
      get instance-id >/dev/null || renew
    done
    busy || finish 'EC2 takes this instance back'
    say 'EC2 takes this instance back within two minutes, and its job with it' ;;
esac
END
chmod 755 "$ours/job-started.sh" "$ours/watch.sh" || die 'our scripts could not be made'

cat >"$units/ghascale-runner.service" <<END
[Unit]
Description=GitHub Actions runner $name
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=exec
User=runner
WorkingDirectory=$runner
EnvironmentFile=$run/jit.env
Environment=ACTIONS_RUNNER_HOOK_JOB_STARTED=$ours/job-started.sh
Environment=ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE=1
ExecStart=$runner/run.sh
RuntimeMaxSec=$life
TimeoutStopSec=30
OOMPolicy=continue
StandardOutput=journal+console
END
# A second boot has lost the job and every timer.
cat >"$units/ghascale-second-boot.service" <<END
[Unit]
Description=Power off a runner that was rebooted
[Service]
Type=oneshot
ExecStart=/bin/systemctl --no-block poweroff
[Install]
WantedBy=multi-user.target
END
{ systemctl daemon-reload && systemctl enable ghascale-second-boot; } || die 'systemd did not take our units'

# The watchers first: without them the runner is not started.
{ systemd-run --unit=ghascale-idle --on-active="$idle" "$ours/watch.sh" idle &&
  systemd-run --unit=ghascale-spot "$ours/watch.sh" spot; } || die 'the watchers could not be started'
# A builtin's argument: in no process list. systemd reads the file before `start` returns.
echo 'ACTIONS_RUNNER_INPUT_JITCONFIG={{jit_config}}' >"$run/jit.env"
systemctl start ghascale-runner
started=$?
rm -f "$run/jit.env"
[ "$started" = 0 ] || die 'the runner could not be started'
trap - EXIT
say "$name started"
