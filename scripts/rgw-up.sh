#!/usr/bin/env bash
# A real one-node Ceph RADOS Gateway on loopback: one monitor, one OSD that
# keeps its objects in memory, one radosgw that answers on http and https.
# For tests, benchmarks and for trying rgwfs; never for data that matters.

set -euo pipefail
shopt -s inherit_errexit

usage() {
    cat <<'USAGE'
usage: rgw-up.sh [start] [--dir D] [--port P] [--tls-port T] [--set K=V]... [--owner-pid PID]
       rgw-up.sh stop|env|kill-rgw|start-rgw|restart-rgw [--dir D]

  start        bring a gateway up, print its environment as export lines
  stop         stop what start started; the directory goes if start made it
  env          print the environment of a running gateway again
  kill-rgw     kill -9 the gateway; monitor, OSD and objects stay
  start-rgw    start the gateway again on the same ports
  restart-rgw  kill-rgw, then start-rgw

  --dir D          where all its files are. start: default a new temporary
                   directory; the others: default $RGWFS_TEST_RGW_DIR
  --port P         http port (default: a free one)
  --tls-port T     https port (default: a free one)
  --set K=V        one more option for radosgw, e.g. --set rgw_max_put_size=1048576
  --owner-pid PID  stop by itself when the process PID ends

To try it by hand:  eval "$(scripts/rgw-up.sh)"; ...; scripts/rgw-up.sh stop
Exit status: 0 done, 1 failed, 2 wrong usage, 3 programs are missing.
USAGE
}

say() { printf 'rgw-up: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
usage_error() { say "$*"; usage >&2; exit 2; }

# ---------------------------------------------------------------- arguments

self=$(realpath -- "$0")
command=start
dir=
http_port=
tls_port=
owner_pid=
settings=()

case ${1-} in
start | stop | env | kill-rgw | start-rgw | restart-rgw | watch)
    command=$1
    shift
    ;;
esac
while (($#)); do
    case $1 in
    -h | --help) usage; exit 0 ;;
    --dir | --port | --tls-port | --set | --owner-pid | --conf)
        (($# >= 2)) || usage_error "$1 needs a value"
        case $1 in
        --dir) dir=$2 ;;
        --port) http_port=$2 ;;
        --tls-port) tls_port=$2 ;;
        --owner-pid) owner_pid=$2 ;;
        --set) settings+=("$2") ;;
        --conf) ;; # only for pid_of to see
        esac
        shift 2
        ;;
    *) usage_error "unknown argument: $1" ;;
    esac
done
for number in "$http_port" "$tls_port" "$owner_pid"; do
    [[ $number =~ ^[0-9]*$ ]] || usage_error "not a number: $number"
done
for setting in "${settings[@]}"; do
    [[ $setting == ?*=* ]] || usage_error "--set wants KEY=VALUE, not $setting"
done

# ---------------------------------------------------------------- processes

# A pid file is believed only while that pid runs with our own configuration
# file among its arguments: pids are reused, and a stranger must not be killed.
pid_of() { # NAME: prints the pid if NAME runs
    local pid
    [[ -r $dir/run/$1.pid ]] || return 1
    pid=$(<"$dir/run/$1.pid")
    [[ $pid =~ ^[0-9]+$ && -r /proc/$pid/cmdline ]] || return 1
    # A zombie has an empty command line, so it counts as gone.
    tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF -- "$dir/ceph.conf" || return 1
    printf '%s\n' "$pid"
}

# spawn NAME PROGRAM ARGS...: run it in a session of its own, so that neither
# Ctrl-C nor the end of the calling terminal reaches it. setsid does not fork
# here, since a child of a script leads no process group: $! is the daemon. It
# leaves the caller's directory, which may have to be unmounted or removed.
spawn() {
    local name=$1
    shift
    (cd / && exec setsid "$@") </dev/null >>"$dir/log/$name.out" 2>&1 &
    local pid=$!
    printf '%s\n' "$pid" >"$dir/run/$name.pid"
    disown
    # Until it is the program, and pid_of knows it, it is a copy of this script.
    while alive "$pid" && ! pid_of "$name" >/dev/null; do sleep 0.02; done
}

# A zombie has ended, reaped or not.
alive() { # PID
    grep -q '^State:[[:space:]]*[^ZX]' "/proc/$1/status" 2>/dev/null
}

# wait_gone NAME SECONDS
wait_gone() {
    local deadline=$((SECONDS + $2))
    while pid_of "$1" >/dev/null; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

stop_one() { # NAME
    local pid
    pid=$(pid_of "$1") || { rm -f "$dir/run/$1.pid"; return 0; }
    kill -TERM "$pid" 2>/dev/null || true
    if ! wait_gone "$1" 5; then
        # Its objects are in memory and go anyway: nothing is lost by force.
        kill -KILL "$pid" 2>/dev/null || true
        wait_gone "$1" 30 || { say "$1 (pid $pid) does not end"; return 1; }
    fi
    rm -f "$dir/run/$1.pid"
}

# Everything but the watcher, which calls this itself.
stop_all() {
    local name failed=0
    for name in radosgw osd mon; do
        stop_one "$name" || failed=1
    done
    return "$failed"
}

remove_dir() {
    if [[ -e $dir/made-by-rgw-up ]]; then rm -rf -- "$dir"; fi
}

# ---------------------------------------------------------------- ports

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Below the kernel's range for outgoing connections (32768 and up), so that no
# client takes the port between this look and the daemon's bind. Random, so
# that gateways started at the same time do not want the same one.
free_port() {
    local port
    while :; do
        port=$((15000 + (RANDOM * 32768 + RANDOM) % 17000))
        [[ $port != "${http_port:-0}" && $port != "${tls_port:-0}" ]] || continue
        port_taken "$port" || break
    done
    printf '%s\n' "$port"
}

# ---------------------------------------------------------------- readiness

# Any HTTP status line will do: even an error proves that radosgw serves.
answers_http() {
    local line=
    {
        exec 3<>"/dev/tcp/127.0.0.1/$http_port"
        printf 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&3
        IFS= read -r -t 5 line <&3
        timeout 5 cat <&3 >/dev/null
        exec 3>&-
    } 2>/dev/null || true
    [[ $line == HTTP/1.1\ 200* ]]
}

answers_https() {
    local reply
    reply=$(printf 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' |
        timeout 10 openssl s_client -quiet -connect "127.0.0.1:$tls_port" \
            -CAfile "$dir/tls/ca.pem" -verify_return_error -verify_ip 127.0.0.1 2>/dev/null) || true
    [[ $reply == HTTP/1.1\ 200* ]]
}

# wait_for WHAT NAME SECONDS COMMAND...: until COMMAND succeeds; fails with the
# log's end when the daemon NAME dies or the time is over.
wait_for() {
    local what=$1 name=$2 deadline=$((SECONDS + $3))
    shift 3
    until ("$@"); do
        if ! pid_of "$name" >/dev/null; then
            log_tail "$name"
            say "$name ended while starting"
            return 1
        fi
        if ((SECONDS >= deadline)); then
            log_tail "$name"
            say "$what does not come up"
            return 1
        fi
        sleep 0.1
    done
}

log_tail() { # NAME
    local file
    for file in "$dir/log/$1.out" "$dir/log/$1.log"; do
        [[ -s $file ]] || continue
        say "end of $file:"
        tail -n 20 "$file" >&2
    done
}

# ---------------------------------------------------------------- pieces

need_programs() {
    local program missing=0
    for program in ceph-mon ceph-osd radosgw radosgw-admin ceph monmaptool ceph-authtool openssl; do
        command -v "$program" >/dev/null || missing=1
    done
    if ((missing)); then
        say "not installed; on Debian or Ubuntu: apt-get install --no-install-recommends ceph-mon ceph-osd radosgw ceph-common openssl"
        exit 3
    fi
}

make_dir() {
    if [[ -z $dir ]]; then
        dir=$(mktemp -d "${TMPDIR:-/tmp}/rgwfs-rgw.XXXXXX")
        touch "$dir/made-by-rgw-up"
    else
        mkdir -p -- "$dir"
        dir=$(cd -- "$dir" && pwd -P)
        if [[ -e $dir/ceph.conf ]]; then
            # What an earlier start left here; its objects went with its OSD.
            for name in radosgw osd mon; do
                if pid_of "$name" >/dev/null; then die "$dir: already running; stop it first"; fi
            done
            rm -rf -- "$dir"/{ceph.conf,keyring,monmap,env,ports,mon,osd,log,run,tls,rgw,crash}
        elif [[ -n $(ls -A -- "$dir") ]]; then
            die "$dir is not empty and not mine"
        fi
    fi
    [[ $dir != *[[:space:]]* ]] || die "no blanks in the directory's name, please: $dir"
    chmod 700 "$dir"
    mkdir -p "$dir"/{mon,osd,log,run,tls,rgw,crash}
}

make_certificates() {
    local tls=$dir/tls
    {
        openssl ecparam -name prime256v1 -genkey -noout -out "$tls/ca.key"
        openssl req -x509 -new -key "$tls/ca.key" -sha256 -days 30 -out "$tls/ca.pem" \
            -subj "/CN=rgwfs test CA" \
            -addext "keyUsage=critical,keyCertSign,cRLSign"
        openssl ecparam -name prime256v1 -genkey -noout -out "$tls/server.key"
        openssl req -new -key "$tls/server.key" -subj "/CN=localhost" -out "$tls/server.csr"
        printf '%s\n' "subjectAltName=IP:127.0.0.1,DNS:localhost,DNS:*.localhost" \
            "extendedKeyUsage=serverAuth" >"$tls/server.ext"
        openssl x509 -req -in "$tls/server.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" \
            -set_serial "0x$(openssl rand -hex 8)" -days 30 -sha256 \
            -extfile "$tls/server.ext" -out "$tls/server.crt"
    } >>"$dir/log/openssl.out" 2>&1 || { cat "$dir/log/openssl.out" >&2; die "openssl failed"; }
    cat "$tls/server.crt" "$tls/server.key" >"$tls/server.pem"
}

# radosgw 16 can't speak to a monitor without cephx, hence the keyring.
make_keyring() {
    local ring=$dir/keyring
    ceph-authtool -C "$ring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
    ceph-authtool "$ring" --gen-key -n client.admin \
        --cap mon 'allow *' --cap osd 'allow *' --cap mds 'allow *' --cap mgr 'allow *' >/dev/null
    ceph-authtool "$ring" --gen-key -n osd.0 \
        --cap mon 'allow profile osd' --cap osd 'allow *' --cap mgr 'allow profile osd' >/dev/null
    ceph-authtool "$ring" --gen-key -n client.rgw \
        --cap mon 'allow rw' --cap osd 'allow rwx' --cap mgr 'allow rw' >/dev/null
}

# tcp_nodelay of the frontend stays at its default, off, as sites have it: the
# client must be quick on a gateway that is set up like theirs.
make_conf() {
    local setting
    cat >"$dir/ceph.conf" <<CONF
[global]
fsid = $fsid
mon host = [v2:127.0.0.1:$mon_port/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind msgr1 = false
keyring = $dir/keyring
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
run dir = $dir/run
crash dir = $dir/crash
log file = $dir/log/\$name.log
admin socket =
mon data = $dir/mon
osd data = $dir/osd
rgw data = $dir/rgw

# One OSD holds the only copy, in memory.
osd objectstore = memstore
memstore device bytes = $((8 << 30))
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 1
mon data avail crit = 0
paxos propose interval = 0.1
osd op num shards = 2
# A change of metadata waits for the watchers of a killed radosgw to be given
# up: 6 s, not 30. A live one says so every second.
osd client watch timeout = 6
objecter tick interval = 1
debug mon = 0/0
debug paxos = 0/0
debug osd = 0/0
debug ms = 0/0

[mon]
log file = $dir/log/mon.log
mon cluster log file = $dir/log/cluster.log

[osd]
log file = $dir/log/osd.log

[client]
# radosgw-admin too; radosgw has a section of its own below.
log file = $dir/log/client.log
debug rgw = 0/0

[client.rgw]
log file = $dir/log/radosgw.log
# Level 1 has a line for each request's start and a "beast:" line for its end;
# the ops log has what it was, as JSON. Tests count requests with both.
debug rgw = 1/1
rgw enable ops log = true
rgw ops log rados = false
rgw ops log file path = $dir/log/ops.log
rgw ops log data backlog = $((64 << 20))
rgw log nonexistent bucket = true
rgw frontends = beast endpoint=127.0.0.1:$http_port ssl_endpoint=127.0.0.1:$tls_port ssl_certificate=$dir/tls/server.pem
rgw dns name = localhost
rgw crypt require ssl = true
rgw thread pool size = 128
# Deleted objects give their memory back after seconds, not after two hours.
rgw gc obj min wait = 1
rgw gc processor period = 2
rgw gc processor max time = 2
# Quotas and usage follow within seconds, not minutes.
rgw bucket quota ttl = 1
rgw user quota bucket sync interval = 1
rgw user quota sync interval = 2
rgw user quota sync wait time = 2
rgw user quota sync idle users = true
CONF
    for setting in "${settings[@]}"; do
        printf '%s = %s\n' "${setting%%=*}" "${setting#*=}" >>"$dir/ceph.conf"
    done
}

start_mon() {
    if ! {
        monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$mon_port]" "$dir/monmap" &&
            ceph-mon -i a --conf "$dir/ceph.conf" --mkfs --monmap "$dir/monmap" --keyring "$dir/keyring"
    } >"$dir/log/mon.out" 2>&1; then
        log_tail mon
        die "the monitor's store can't be made"
    fi
    spawn mon ceph-mon -f -i a --conf "$dir/ceph.conf"
    wait_for "the monitor" mon 60 port_taken "$mon_port"
}

start_osd() {
    local uuid
    uuid=$(</proc/sys/kernel/random/uuid)
    if ! {
        timeout 60 ceph --conf "$dir/ceph.conf" osd new "$uuid" &&
            ceph-osd -i 0 --conf "$dir/ceph.conf" --mkfs --osd-uuid "$uuid"
    } >"$dir/log/osd.out" 2>&1; then
        log_tail mon
        log_tail osd
        die "the OSD can't be made"
    fi
    # radosgw waits by itself until the OSD is up.
    spawn osd ceph-osd -f -i 0 --conf "$dir/ceph.conf"
}

start_rgw() {
    spawn radosgw radosgw -f -n client.rgw --conf "$dir/ceph.conf"
    if ! wait_for "radosgw on http port $http_port" radosgw 120 answers_http ||
        ! wait_for "radosgw on https port $tls_port" radosgw 30 answers_https; then
        log_tail osd
        return 1
    fi
}

# make_user UID ACCESS SECRET [radosgw-admin options]
make_user() {
    local uid=$1 access=$2 secret=$3
    shift 3
    timeout 60 radosgw-admin -n client.rgw --conf "$dir/ceph.conf" --log-to-file=false \
        user create --uid="$uid" --display-name="$uid" \
        --access-key="$access" --secret="$secret" "$@" >"$dir/log/user-$uid.out" 2>&1 ||
        { cat "$dir/log/user-$uid.out" >&2; say "user $uid can't be made"; return 1; }
}

make_env() {
    {
        printf 'export RGWFS_TEST_RGW_DIR=%q\n' "$dir"
        printf 'export RGWFS_TEST_RGW_HTTP=%q\n' "http://127.0.0.1:$http_port"
        printf 'export RGWFS_TEST_RGW_HTTPS=%q\n' "https://127.0.0.1:$tls_port"
        printf 'export RGWFS_TEST_RGW_CA=%q\n' "$dir/tls/ca.pem"
        printf 'export RGWFS_TEST_RGW_LOG=%q\n' "$dir/log/radosgw.log"
        printf 'export RGWFS_TEST_RGW_OPS_LOG=%q\n' "$dir/log/ops.log"
        printf 'export RGWFS_TEST_RGW_CONF=%q\n' "$dir/ceph.conf"
        printf 'export RGWFS_TEST_RGW_%s=%q\n' \
            ACCESS_KEY "$main_key" SECRET_KEY "$main_secret" \
            OTHER_ACCESS_KEY "$other_key" OTHER_SECRET_KEY "$other_secret" \
            LIMITED_ACCESS_KEY "$limited_key" LIMITED_SECRET_KEY "$limited_secret"
        printf 'export RGWFS_ENDPOINT=%q\n' "http://127.0.0.1:$http_port"
        printf 'export RGWFS_CA_FILE=%q\n' "$dir/tls/ca.pem"
        printf 'export AWS_ACCESS_KEY_ID=%q\n' "$main_key"
        printf 'export AWS_SECRET_ACCESS_KEY=%q\n' "$main_secret"
    } >"$dir/env.new"
    mv "$dir/env.new" "$dir/env"
}

# ---------------------------------------------------------------- commands

cleanup() {
    local status=$?
    trap - EXIT INT TERM HUP
    if [[ -n $dir && -d $dir/run ]]; then
        say "stopping what was started"
        # A radosgw-admin may still run in the background.
        local job
        for job in $(jobs -p); do kill "$job" 2>/dev/null || true; done
        stop_one watch || true
        stop_all || true
        remove_dir
    fi
    exit "$((status ? status : 1))"
}

start() {
    need_programs
    if [[ -n $owner_pid ]] && ! alive "$owner_pid"; then die "no process $owner_pid"; fi
    if [[ -n $http_port && $http_port == "$tls_port" ]]; then usage_error "http and https need a port each"; fi
    local port
    for port in $http_port $tls_port; do
        if port_taken "$port"; then die "port $port is taken"; fi
    done
    trap cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    umask 077
    make_dir
    http_port=${http_port:-$(free_port)}
    tls_port=${tls_port:-$(free_port)}
    mon_port=$(free_port)
    fsid=$(</proc/sys/kernel/random/uuid)
    printf '%s %s\n' "$http_port" "$tls_port" >"$dir/ports"
    make_conf
    make_keyring
    make_certificates
    start_mon
    start_osd
    start_rgw

    main_key=$(openssl rand -hex 10) main_secret=$(openssl rand -hex 20)
    other_key=$(openssl rand -hex 10) other_secret=$(openssl rand -hex 20)
    limited_key=$(openssl rand -hex 10) limited_secret=$(openssl rand -hex 20)
    local made=()
    make_user rgwfs "$main_key" "$main_secret" & made+=("$!")
    make_user other "$other_key" "$other_secret" & made+=("$!")
    # 16 MiB in all: room enough to write, little enough to fill.
    make_user limited "$limited_key" "$limited_secret" --rgw-user-default-quota-max-size=$((16 << 20)) & made+=("$!")
    local pid
    for pid in "${made[@]}"; do wait "$pid"; done

    make_env
    if [[ -n $owner_pid ]]; then
        spawn watch "$BASH" "$self" watch --dir "$dir" --owner-pid "$owner_pid" --conf "$dir/ceph.conf"
    fi
    trap - EXIT INT TERM HUP
    say "radosgw serves http://127.0.0.1:$http_port and https://127.0.0.1:$tls_port after $SECONDS s; stop it by: $0 stop --dir $dir"
    cat "$dir/env"
}

# The other commands work on a gateway that start has brought up.
find_dir() {
    dir=${dir:-${RGWFS_TEST_RGW_DIR-}}
    [[ -n $dir ]] || usage_error "$command needs --dir or RGWFS_TEST_RGW_DIR"
    [[ -d $dir ]] || die "no such directory: $dir"
    dir=$(cd -- "$dir" && pwd -P)
    [[ -e $dir/ceph.conf && -d $dir/run ]] || die "$dir: no gateway of mine"
    read -r http_port tls_port <"$dir/ports"
}

kill_rgw() {
    local pid
    pid=$(pid_of radosgw) || die "radosgw does not run"
    kill -KILL "$pid"
    wait_gone radosgw 30 || die "radosgw (pid $pid) does not end"
    rm -f "$dir/run/radosgw.pid"
}

again_rgw() {
    if pid_of radosgw >/dev/null; then die "radosgw runs already"; fi
    pid_of osd >/dev/null || die "the OSD does not run, and its objects are gone; start afresh"
    start_rgw
}

# Stops the rest when the owner ends.
watch() {
    while alive "$owner_pid"; do sleep 0.5; done
    stop_all
    remove_dir
}

case $command in
start) start ;;
stop) find_dir; stop_one watch; stop_all; remove_dir ;;
watch) find_dir; watch ;;
env) find_dir; pid_of radosgw >/dev/null || die "radosgw does not run"; cat "$dir/env" ;;
kill-rgw) find_dir; kill_rgw ;;
start-rgw) find_dir; again_rgw ;;
restart-rgw) find_dir; kill_rgw; again_rgw ;;
esac
