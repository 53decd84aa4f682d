"""The one door to git: objects, refs, packs, snapshots, the git program. It knows nothing of experiments."""
