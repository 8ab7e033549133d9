#!/usr/bin/env bash
# Runs the suite against the peer server: whole against bundles of conforming variants, where nothing may be
# found, and in part against a sample of faults, each of which must be. Takes the imspec binary to use; a
# second argument names one step: `conforming`, `faults`, `sessions` (every variant and fault of message sessions,
# one at a time) or `all-faults` (every fault, each against the whole suite). The last two take long.
set -u
here=$(cd "$(dirname "$0")" && pwd)
imspec=$(realpath "${1:-$here/../../target/release/imspec}")
step=${2:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wrong=0

# profile ARGUMENTS… → path of a profile
profile() { python3 -B "$here/variants.py" --out "$work/profiles" "$@"; }

# expect STATUS NAME PROFILE RUN-ARGUMENTS…
expect() {
    local wanted=$1 name=$2 profile=$3 status
    shift 3
    timeout 300 "$imspec" run --profile "$profile" --scenarios "$here/../../scenarios/suite" \
        --seed 1 --quiet --out "$work/out" "$@" >"$work/log" 2>&1
    status=$?
    if [ "$status" = "$wanted" ]; then
        echo "as expected  $name"
    else
        echo "WRONG        $name: exit $status instead of $wanted"
        tail -n 40 "$work/log"
        wrong=1
    fi
}

# What most variants of pager mode touch. The others are in the sweep by hand, which runs everything.
pager=('PG-*' 'DL-*' 'EX-0*' 'EX-1*' 'MI-*' 'PO-*' 'IS-*' 'DU-0*' 'DU-1*')

conforming() { # VARIANTS [OPTION of variants.py [RUN-ARGUMENTS…]]
    local variants=$1 option=${2:-}
    shift; shift
    # shellcheck disable=SC2086
    expect 0 "conforms: ${variants:-as it is} $option" "$(profile --variant "$variants" $option)" "$@"
}

sweep() { # ARGUMENTS of sweep.py
    python3 -B "$here/sweep.py" "$@" --imspec "$imspec" || wrong=1
}

fault() { # NAME SELECTION…
    local name=$1
    shift
    # What fails must fail; there is no need to see it twice.
    expect 1 "caught: $name" "$(profile --fault "$name")" --once "$@"
}

# A half of the conforming bundles, in a folder of its own: two run side by side, because each mostly waits.
one_half() {
    work=$work/one
    mkdir "$work"
    conforming "" ""
    conforming "deliver-notify,unknown-state,unknown-times,unknown-id" "" 'PG-0*' 'DL-*' 'EX-0*' 'MI-0*' 'PO-*'
    conforming "unknown-content" "" 'PG-0*' 'DL-0*' 'EX-0*' 'MI-0*' 'PO-0*'
    conforming "fifo" "--black-box" --time-budget 8s
    # Message sessions, against the scenarios that use them. `sessions` tries all the variants.
    sweep bundles --only shown-no-chunks+shown-no-ok+session-only,pager-only
    return $wrong
}

other_half() {
    work=$work/other
    mkdir "$work"
    conforming "style-compact,mid-bare,whole-seconds,reverse,deliver-header,rows-apart,accept-200,no-rport,tcp-connects,policy-not-kept" "" "${pager[@]}"
    conforming "style-folded,octet,keeps-hop,id-counter,default-week,expires-as-stored,granularity-0,store-first,two-domains,unknown-480,zero-never,malformed-reject,clock-whole-seconds" "" "${pager[@]}"
    conforming "style-spaced,mid-angle,host-per-account,expires-remaining,strict,text-only,local-senders,body-required,zero-reject,malformed-3600,retries,drops-composing" "--fixed" "${pager[@]}"
    conforming "reason-empty,no-date-added,clamp-hour,other-hold,unreachable-stored,refused-kept,min-registration,any-user,to-tag-taken,drops-odd,zero-default,default-60" "--fixed" "${pager[@]}"
    conforming "style-upper,mid-param,from-service,stored-notice,login-notice,short-registration,refresh-quiet,granularity-30,tcp-in-pieces,trying-tcp,reorders-params,retypes,quota" "--fixed" "${pager[@]}"
    return $wrong
}

if [ -z "$step" ] || [ "$step" = conforming ]; then
    one_half &
    one=$!
    (other_half) || wrong=1
    wait "$one" || wrong=1
fi

if [ -z "$step" ] || [ "$step" = faults ]; then
    fault equal-repeats-merged PG-09
    fault header-count-limit PG-41
    fault unfold-joins PG-06
    fault body-percent-decoded PG-38
    fault body-lost-at-restart DU-01
    fault online-also-stored PG-02
    fault id-case-only MI-03
    fault keeps-escapes IS-07
    fault expires-octal EX-09
    fault default-inherited EX-39
    fault clock-restarts-at-restart DU-17
    fault expired-back-after-restart DU-18
    fault durable-late DU-03
    fault all-at-once DL-08
    fault indication-sticks DL-17
    # message sessions
    sweep sample --jobs 4
fi

if [ "$step" = all-faults ]; then
    # Those that nothing can see, and why, are listed in README.md.
    unseen=$(sed -n 's/^| `\([a-z0-9-]*\)` .*/\1/p' "$here/README.md")
    for name in $(python3 -B "$here/variants.py" --list faults); do
        grep -qx "$name" <<<"$unseen" || fault "$name"
    done
fi
if [ "$step" = sessions ]; then
    sweep bundles --minutes 60
    sweep variants --minutes 60
    sweep faults --minutes 60
fi
exit $wrong
