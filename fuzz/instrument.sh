#!/bin/sh
# Compiles the host so that libFuzzer sees which code an input reaches and what it is compared with, and with checks for
# overflows. Cargo calls this as `instrument.sh rustc ARGUMENTS` for crates of the workspace, and keeps what comes out
# beside what it builds otherwise.
case " $* " in
*" --crate-name bulkhead "*)
    exec "$@" -Cpasses=sancov-module \
        -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
        -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares \
        -Cdebug-assertions=on -Coverflow-checks=on
    ;;
*)
    exec "$@"
    ;;
esac
