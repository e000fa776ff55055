//! Prints the table of docs/ng.md.

fn main() {
    print!("{}", raceway_ng::table::markdown());
}
