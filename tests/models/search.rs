//! The semantic search example, on a few passages.

use crate::minilm::folder;
use crate::semantic_search::{Embedder, Index};
use crate::support::{devices, fixtures};

#[test]
fn queries_without_a_common_word_find_their_passages() {
    let Some(folder) = folder() else { return };
    let text = std::fs::read_to_string(fixtures().join("minilm/passages.txt")).expect("the fixture is there");
    for (name, device) in devices() {
        let mut embedder = Embedder::open(&folder.to_string_lossy(), &device).expect("the folder is whole");
        let index = Index::new(&mut embedder, &text).expect("it embeds");
        for (query, start) in [
            ("baking a cake", "Whisk the eggs"),
            ("an accident and a doctor", "Her broken arm"),
            ("mortgages and the economy", "Interest rates"),
            ("astronomy", "The comet"),
            ("a musician's instrument", "He tuned"),
            ("travelling by ship", "The ferry"),
        ] {
            let found = index.search(&mut embedder, query, 2).expect("it embeds");
            println!("{name}: {query}: {found:?}");
            assert_eq!(found.len(), 2);
            assert!(found[0].1.starts_with(start) && found[0].0 >= found[1].0);
        }
    }
}
