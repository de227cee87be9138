#!/usr/bin/env bash
# The tests of rgwfs: checks of the source, then all Go tests under the race
# detector, on a real Ceph RGW of their own if Ceph is installed.
#
#   scripts/test.sh [--no-rgw] [go test arguments...]
#
# Arguments replace the packages that are tested (./...), e.g. "-run X ./fs".
# RGWFS_REQUIRE_RGW=1 makes a missing RGW an error.

set -euo pipefail
cd -- "$(dirname -- "$0")/.."

staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.8.2

with_rgw=1
if [[ ${1-} == --no-rgw ]]; then
    with_rgw=
    shift
    if [[ ${RGWFS_REQUIRE_RGW-} == 1 ]]; then
        echo "test: --no-rgw contradicts RGWFS_REQUIRE_RGW=1" >&2
        exit 2
    fi
fi
if (($# == 0)); then set -- ./...; fi

step() { printf '== %s\n' "$*" >&2; }

# What the user's own shell has set up must not reach the tests.
for name in $(compgen -e); do
    case $name in
    RGWFS_REQUIRE_RGW) ;;
    RGWFS_* | AWS_*) unset "$name" ;;
    esac
done

step gofmt
unformatted=$(gofmt -l cache cmd fs s3backend)
if [[ -n $unformatted ]]; then
    printf 'test: not formatted by gofmt:\n%s\n' "$unformatted" >&2
    exit 1
fi

step go vet
go vet ./...

step staticcheck
go run "$staticcheck" ./...

if command -v shellcheck >/dev/null; then
    step shellcheck
    shellcheck scripts/*.sh .ci/run
else
    step "shellcheck is not installed, left out"
fi

read -r compiler _ < <(go env CC)
if ! command -v "$compiler" >/dev/null; then
    echo "test: the race detector needs a C compiler; on Debian or Ubuntu: apt-get install --no-install-recommends gcc libc6-dev" >&2
    exit 3
fi

dir=
finish() {
    status=$?
    trap - EXIT
    if [[ -n $dir ]]; then
        # A request that crashes radosgw is a finding; what it says goes with
        # the directory.
        if ! scripts/rgw-up.sh env --dir "$dir" >/dev/null; then
            echo "test: radosgw died during the tests:" >&2
            grep -a -m 1 -A 20 'Caught signal' "$dir/log/radosgw.out" >&2 || tail -n 20 "$dir/log/radosgw.out" >&2
            status=$((status ? status : 1))
        fi
        scripts/rgw-up.sh stop --dir "$dir" || status=$((status ? status : 1))
    fi
    exit "$status"
}

if [[ $with_rgw ]]; then
    step "starting RGW"
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    status=0
    environment=$(scripts/rgw-up.sh start --owner-pid $$) || status=$?
    if ((status == 0)); then
        # Only what tests look at; RGWFS_ENDPOINT and the like are for people.
        eval "$(grep '^export RGWFS_TEST_' <<<"$environment")"
        dir=$RGWFS_TEST_RGW_DIR
    elif ((status == 3)) && [[ ${RGWFS_REQUIRE_RGW-} != 1 ]]; then
        step "Ceph is not installed: tests on RGW are skipped"
    else
        exit "$status"
    fi
fi

step "go test"
# Two packages at a time: many tests wait, for a server that is away or a time
# to pass, and no test asserts on time.
go test -race -p 2 -timeout 18m "$@"
