//! Rebuilds the crate when a migration changes: they are embedded by a macro, which cannot say so.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=migrations/");
    for migration in std::fs::read_dir("migrations")
        .into_iter()
        .flatten()
        .flatten()
    {
        println!("cargo:rerun-if-changed={}", migration.path().display());
        for file in std::fs::read_dir(migration.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            println!("cargo:rerun-if-changed={}", file.path().display());
        }
    }
}
