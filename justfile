# `just verify` only reads, `just fix` mends.

# Everything that must hold before a change lands.
verify:
    .ci/run

# Format, and apply what clippy can mend.
fix:
    cargo fmt --all
    cargo clippy --workspace --all-targets --all-features --fix --allow-dirty --allow-staged

# Tests alone; `just test conformance` for some of them.
test *filter:
    cargo test --workspace -- {{filter}}

# The tests at their full sizes.
full:
    FANOUT_FULL=1 cargo test --workspace --release

# Known mistakes in the engine, each of which must be caught.
planted:
    .ci/planted --nocapture

# Every fuzz target for a minute; `just fuzz id_set` for some of them.
fuzz *target:
    .ci/fuzz {{target}}

# The throughput scenario in the mode of this version.
bench *args:
    cargo run --release -p fanout-bench -- p1 --mode reference-counting {{args}}
