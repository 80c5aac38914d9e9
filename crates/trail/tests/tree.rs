//! The tree against two other implementations of RFC 9162, which share nothing with it: `ct-merkle` and `tlog_tiles`.

use std::collections::BTreeMap;

use ct_merkle::{ConsistencyProof, InclusionProof, RootHash, mem_backed_tree::MemoryBackedTree};
use sha2::{Digest, Sha256};
use tlog_tiles::tlog;
use trail::{
    Hash, leaf_hash,
    tree::{self, Frontier, Place},
};

/// Sizes are tried one by one up to here: all shapes of seven levels, two of them stored.
const SIZES: u64 = 130;

/// Nodes as `tlog_tiles` stores them: all of them, in one list.
#[derive(Default)]
struct Tiles(Vec<tlog::Hash>);

impl tlog::HashReader for Tiles {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        let read = |&index: &u64| self.0[usize::try_from(index).expect("small")];
        Ok(indexes.iter().map(read).collect())
    }
}

/// The same leaves in all three.
#[derive(Default)]
struct Trees {
    ours: Frontier,
    stored: BTreeMap<Place, Hash>,
    leaves: Vec<Hash>,
    roots: Vec<Hash>,
    merkle: Option<MemoryBackedTree<Sha256, [u8; 8]>>,
    tiles: Tiles,
}

impl Trees {
    fn of(size: u64) -> Self {
        let mut trees = Self::default();
        trees.roots.push(trees.ours.root());
        for nth in 0..size {
            trees.push(nth);
        }
        trees
    }

    fn push(&mut self, nth: u64) {
        let bytes = nth.to_be_bytes();
        let leaf = leaf_hash(&bytes);
        self.stored.extend(self.ours.push(leaf));
        self.leaves.push(leaf);
        self.roots.push(self.ours.root());
        self.merkle.get_or_insert_default().push(bytes);
        let more = tlog::stored_hashes(nth, &bytes, &self.tiles).expect("it grows");
        self.tiles.0.extend(more);
    }

    fn prove(&self, spans: &[std::ops::Range<u64>]) -> Vec<Hash> {
        // Only what is said to be needed.
        let needed: BTreeMap<_, _> = tree::stored_under(spans)
            .into_iter()
            .map(|place| (place, self.stored[&place]))
            .collect();
        tree::hashes_of(spans, &needed).expect("nothing is missing")
    }
}

fn of_tiles(hashes: &[tlog::Hash]) -> Vec<Hash> {
    hashes.iter().map(|hash| hash.0).collect()
}

fn at(size: u64) -> usize {
    usize::try_from(size).expect("small")
}

#[test]
fn roots_and_proofs_of_all_sizes_are_those_of_two_other_implementations() {
    let trees = Trees::of(SIZES);
    let mut merkle = MemoryBackedTree::<Sha256, [u8; 8]>::new();

    for size in 1..=SIZES {
        merkle.push((size - 1).to_be_bytes());
        let root = trees.roots[at(size)];
        assert_eq!(merkle.root().as_bytes()[..], root, "{size}");
        let tile_root = tlog::tree_hash(size, &trees.tiles).expect("it has a root");
        assert_eq!(tile_root.0, root, "{size}");

        for index in 0..size {
            let spans = tree::inclusion(size, index).expect("it is in");
            let proof = trees.prove(&spans);
            let tiles = tlog::prove_record(size, index, &trees.tiles).expect("it is in");
            assert_eq!(proof, of_tiles(&tiles), "{index} of {size}");
            let theirs = merkle.prove_inclusion(at(index));
            assert_eq!(proof.concat(), theirs.as_bytes(), "{index} of {size}");
            let leaf = &trees.leaves[at(index)];
            assert!(
                tree::is_included(&root, size, leaf, index, &proof),
                "{index} of {size}"
            );
        }
        for old in 1..size {
            let spans = tree::consistency(old, size).expect("it is older");
            let proof = trees.prove(&spans);
            let tiles = tlog::prove_tree(size, old, &trees.tiles).expect("it is older");
            assert_eq!(proof, of_tiles(&tiles), "{old} of {size}");
            let theirs = merkle.prove_consistency(at(size - old));
            assert_eq!(proof.concat(), theirs.as_bytes(), "{old} of {size}");
            let before = (old, &trees.roots[at(old)]);
            assert!(
                tree::is_consistent(before, (size, &root), &proof),
                "{old} of {size}"
            );
        }
        assert_eq!(tree::inclusion(size, size), None);
        assert_eq!(tree::consistency(size + 1, size), None);
    }
}

#[test]
fn a_large_tree_agrees_as_well() {
    let trees = Trees::of(70_001);
    let merkle = trees.merkle.as_ref().expect("it has leaves");
    let (size, root) = (trees.ours.size(), trees.ours.root());
    assert_eq!(merkle.root().as_bytes()[..], root);

    let their_root = RootHash::<Sha256>::new(root.into(), size);
    for index in [0, 1, 4_095, 65_535, 65_536, 69_999, 70_000] {
        let proof = trees.prove(&tree::inclusion(size, index).expect("it is in"));
        let theirs = InclusionProof::<Sha256>::try_from_bytes(proof.concat()).expect("hashes");
        let bytes = index.to_be_bytes();
        their_root
            .verify_inclusion(&bytes, index, &theirs)
            .expect("it is proved");
    }
    for old in [1, 2, 4_096, 65_535, 65_536, 65_537, 70_000] {
        let proof = trees.prove(&tree::consistency(old, size).expect("it is older"));
        let theirs = ConsistencyProof::<Sha256>::try_from_bytes(proof.concat()).expect("hashes");
        let before = RootHash::<Sha256>::new(trees.roots[at(old)].into(), old);
        their_root
            .verify_consistency(&before, &theirs)
            .expect("it is proved");
    }
}

#[test]
fn a_tree_goes_on_from_what_is_stored() {
    let mut trees = Trees::of(0);
    for nth in 0..300 {
        let needed: BTreeMap<_, _> = tree::stored_under(std::slice::from_ref(&(0..nth)))
            .into_iter()
            .map(|place| (place, trees.stored[&place]))
            .collect();
        let restored = Frontier::restore(nth, &needed).expect("nothing is missing");
        assert_eq!(restored, trees.ours);
        trees.push(nth);
    }
    // A fifteenth, and the leaves.
    let inner = trees.stored.len() - trees.leaves.len();
    assert_eq!(inner, 300 / 16 + 300 / 256);
    assert_eq!(Frontier::restore(300, &BTreeMap::new()), None);
}

#[test]
fn no_forged_proof_holds() {
    let trees = Trees::of(70);
    let forge = |proof: &[Hash]| -> Vec<Vec<Hash>> {
        let mut forged = vec![proof[1..].to_vec(), [proof, &[[7; 32]]].concat()];
        for nth in 0..proof.len() {
            let mut changed = proof.to_vec();
            changed[nth][31] ^= 1;
            forged.push(changed);
            if nth > 0 {
                let mut swapped = proof.to_vec();
                swapped.swap(nth - 1, nth);
                forged.push(swapped);
            }
        }
        forged
    };
    let mut tried = 0;
    for size in 2..=70 {
        let root = &trees.roots[at(size)];
        for index in 0..size {
            let leaf = &trees.leaves[at(index)];
            let proof = trees.prove(&tree::inclusion(size, index).expect("it is in"));
            for forged in forge(&proof) {
                tried += 1;
                assert!(!tree::is_included(root, size, leaf, index, &forged));
            }
            for elsewhere in (0..size).filter(|&elsewhere| elsewhere != index) {
                tried += 1;
                assert!(!tree::is_included(root, size, leaf, elsewhere, &proof));
            }
        }
        for old in 1..size {
            let before = &trees.roots[at(old)];
            let proof = trees.prove(&tree::consistency(old, size).expect("it is older"));
            for forged in forge(&proof) {
                tried += 1;
                assert!(!tree::is_consistent((old, before), (size, root), &forged));
            }
            tried += 2;
            assert!(!tree::is_consistent((old, &[0; 32]), (size, root), &proof));
            assert!(!tree::is_consistent(
                (old, before),
                (size, &[0; 32]),
                &proof
            ));
        }
    }
    assert!(tried > 100_000, "{tried}");
}

#[test]
fn the_empty_tree_is_the_hash_of_nothing() {
    assert_eq!(Frontier::default().root()[..], Sha256::digest([])[..]);
}
